package admin

import (
	"context"
	"fmt"
	"strings"
)

// Configuration is what the API may ask of, and do to, the configuration of a
// running daemon. What it refuses wraps the errors of Control.Apply, or is an
// *InvalidError; it changes nothing then.
type Configuration interface {
	// Config is what runs.
	Config(context.Context) (Config, error)
	// DiffConfig tells what a configuration would change.
	DiffConfig(context.Context, *Candidate) (ConfigChange, error)
	// ApplyConfig makes a configuration what runs.
	ApplyConfig(ctx context.Context, ifVersion string, in *Candidate) (ConfigChange, error)
	// EditConfig makes, changes or removes one thing beside the operator's
	// file.
	EditConfig(ctx context.Context, ifVersion string, e ConfigEdit) (ConfigChange, error)
}

// Config is the configuration that runs.
type Config struct {
	Version string   `json:"version" doc:"changes whenever the configuration does; the ETag"`
	File    string   `json:"file" doc:"the operator's part of it; what was made through the API stands in managed.yaml in the data directory"`
	Lines   []string `json:"lines" doc:"YAML, every default written out; it has no secrets"`
}

// Text is the configuration as a file has it.
func (c Config) Text() string { return strings.Join(c.Lines, "\n") + "\n" }

// Candidate is a configuration that is meant to run.
type Candidate struct {
	Name string `json:"name,omitempty" doc:"what the text is called in messages"`
	Text string `json:"text,omitempty" doc:"YAML; absent: the daemon reads its file anew"`
}

// ConfigChange is what another configuration changes.
type ConfigChange struct {
	Changes []string `json:"changes" doc:"one line for each: + comes, - goes, ~ is different"`
}

// ConfigEdit changes one thing beside the operator's file.
type ConfigEdit struct {
	Verb   string         // create, set or delete
	Noun   string         // target, LUN, initiator or portal
	Name   string         // of a portal: its address
	Target string         // of an initiator, and of a LUN that is created
	Keys   map[string]any // as in the file
}

// InvalidError is all that is wrong with a configuration.
type InvalidError struct{ Problems []InvalidProblem }

// InvalidProblem is one thing that is wrong.
type InvalidProblem struct{ Where, Text string }

func (e *InvalidError) Error() string {
	var all []string
	for _, p := range e.Problems {
		all = append(all, p.Where+": "+p.Text)
	}
	return strings.Join(all, "\n")
}

// Unwrap makes it a refusal.
func (e *InvalidError) Unwrap() error { return ErrRefused }

// noConfiguration is that of a daemon that has none to change.
type noConfiguration struct{}

var errNoConfiguration = fmt.Errorf("%w: there is no configuration to look at or to change", ErrRefused)

func (noConfiguration) Config(context.Context) (Config, error) { return Config{}, errNoConfiguration }

func (noConfiguration) DiffConfig(context.Context, *Candidate) (ConfigChange, error) {
	return ConfigChange{}, errNoConfiguration
}

func (noConfiguration) ApplyConfig(context.Context, string, *Candidate) (ConfigChange, error) {
	return ConfigChange{}, errNoConfiguration
}

func (noConfiguration) EditConfig(context.Context, string, ConfigEdit) (ConfigChange, error) {
	return ConfigChange{}, errNoConfiguration
}
