package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/config"
)

// Operators is where the configuration that operators write comes from.
type Operators struct {
	// Source is what the daemon starts with; conf given to Start is made of it.
	Source config.Source
	// Read reads it anew; nil: it cannot be read anew.
	Read func() (config.Source, error)
	// Override has the last word, over the file and the environment.
	Override func(*config.Config)
}

// merged makes a configuration of the operator's text and what is managed.
func (d *Daemon) merged(file, managed config.Source) (*config.Config, error) {
	c, err := config.Merge(file, managed, d.dir.held)
	if err == nil && d.operators.Override != nil {
		d.operators.Override(c)
	}
	return c, err
}

// withManaged adds what operators made through the API to what the daemon is
// to start with.
func (d *Daemon) withManaged(conf *config.Config) (*config.Config, error) {
	managed, err := d.dir.managed().read()
	if err != nil {
		return nil, err
	}
	if d.operators.Source.Data == nil {
		return conf, nil
	}
	c, err := d.merged(d.operators.Source, managed)
	if err != nil && len(managed.Data) > 0 {
		return nil, fmt.Errorf("%w\n(the version before is %s.1)", err, managed.Name)
	}
	return c, err
}

// Reload reads the configuration anew and makes it what runs. If that fails,
// what ran goes on, and the log says why.
func (d *Daemon) Reload(ctx context.Context) error {
	c := &control{d: d}
	_, err := c.note(audit.Party{Operator: "SIGHUP"}, func() (admin.ConfigChange, error) {
		return c.applyConfig(ctx, "", nil)
	})
	return err
}

// Config tells what runs, as text.
func (c *control) Config(context.Context) (admin.Config, error) {
	now := c.d.now.Load()
	text, err := config.YAML(now.conf)
	return admin.Config{
		Version: configVersion(now.conf), File: c.d.source().Name, Lines: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"),
	}, err
}

// configVersion sums up a configuration.
func configVersion(c *config.Config) string {
	text, err := config.YAML(c)
	if err != nil {
		return ""
	}
	return version(string(text))
}

// source is the operator's text that is in force.
func (d *Daemon) source() config.Source {
	d.operatorsMu.Lock()
	defer d.operatorsMu.Unlock()
	return d.operators.Source
}

// candidate reads the configuration that is meant: the text given, or the
// operator's file.
func (d *Daemon) candidate(in *admin.Candidate) (config.Source, error) {
	if in != nil && in.Text != "" {
		name := in.Name
		if name == "" {
			name = "request"
		}
		return config.Source{Name: name, Data: []byte(in.Text)}, nil
	}
	if d.operators.Read == nil {
		return config.Source{}, fmt.Errorf("%w: the daemon was started without a configuration file", admin.ErrRefused)
	}
	s, err := d.operators.Read()
	if err != nil {
		return s, refusal(err)
	}
	return s, nil
}

// compare reads what is meant, and tells what it would change.
func (d *Daemon) compare(in *admin.Candidate) (file config.Source, conf *config.Config, change admin.ConfigChange, err error) {
	if file, err = d.candidate(in); err != nil {
		return
	}
	managed, err := d.dir.managed().read()
	if err != nil {
		return
	}
	if conf, err = d.merged(file, managed); err != nil {
		err = invalid(err)
		return
	}
	change, err = d.described(conf)
	return
}

func (d *Daemon) described(conf *config.Config) (admin.ConfigChange, error) {
	now := d.now.Load()
	return admin.ConfigChange{Changes: append([]string{}, config.Diff(now.conf, conf)...)}, stays(conf, now.conf)
}

// invalid hands the problems of a configuration on, one by one.
func invalid(err error) error {
	var all *config.Error
	if !errors.As(err, &all) {
		return refusal(err)
	}
	e := &admin.InvalidError{}
	for _, p := range all.Problems {
		where := p.File
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		text := p.Reason
		if p.Path != "" {
			text = p.Path + ": " + text
		}
		e.Problems = append(e.Problems, admin.InvalidProblem{Where: where, Text: text})
	}
	return e
}

// DiffConfig tells what a configuration would change.
func (c *control) DiffConfig(_ context.Context, in *admin.Candidate) (admin.ConfigChange, error) {
	_, conf, change, err := c.d.compare(in)
	if err != nil {
		return change, err
	}
	if _, err := config.LoadSecrets(conf); err != nil {
		return change, invalid(err)
	}
	return change, nil
}

// note writes what an operator did, or was refused, into the trail.
func (c *control) note(by audit.Party, do func() (admin.ConfigChange, error)) (admin.ConfigChange, error) {
	change, err := do()
	e := audit.Entry{Kind: audit.KindAdmin, Action: audit.ActionConfigure, By: by, Result: audit.Granted}
	switch {
	case err != nil:
		e.Result, e.Detail = "refused", err.Error()
	case len(change.Changes) == 0:
		e.Detail = "nothing is different"
	case len(change.Changes) == 1:
		e.Detail = change.Changes[0]
	default:
		e.Detail = fmt.Sprintf("%s, and %d more", change.Changes[0], len(change.Changes)-1)
	}
	c.d.trail.Note(e)
	return change, err
}

// ApplyConfig makes a configuration what runs.
func (c *control) ApplyConfig(ctx context.Context, ifVersion string, in *admin.Candidate) (admin.ConfigChange, error) {
	return c.note(audit.Party{Operator: admin.ActorOf(ctx)}, func() (admin.ConfigChange, error) {
		return c.applyConfig(ctx, ifVersion, in)
	})
}

func (c *control) applyConfig(ctx context.Context, ifVersion string, in *admin.Candidate) (admin.ConfigChange, error) {
	d := c.d
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.unchanged(ifVersion); err != nil {
		return admin.ConfigChange{}, err
	}
	file, conf, change, err := d.compare(in)
	if err != nil {
		return change, err
	}
	if err := d.reconfigure(ctx, conf, nil); err != nil {
		return change, err
	}
	d.operatorsMu.Lock()
	d.operators.Source = file
	d.operatorsMu.Unlock()
	return change, nil
}

func (d *Daemon) unchanged(ifVersion string) error {
	if ifVersion != "" && ifVersion != configVersion(d.now.Load().conf) {
		return fmt.Errorf("the configuration: %w", admin.ErrStale)
	}
	return nil
}

// EditConfig makes, changes or removes one thing.
func (c *control) EditConfig(ctx context.Context, ifVersion string, e admin.ConfigEdit) (admin.ConfigChange, error) {
	return c.note(audit.Party{Operator: admin.ActorOf(ctx)}, func() (admin.ConfigChange, error) {
		return c.editConfig(ctx, ifVersion, config.Edit{
			Verb: config.Verb(e.Verb), Noun: config.Noun(e.Noun), Name: e.Name, Target: e.Target, Keys: e.Keys,
		})
	})
}

func (c *control) editConfig(ctx context.Context, ifVersion string, e config.Edit) (admin.ConfigChange, error) {
	d := c.d
	d.changing.Lock()
	defer d.changing.Unlock()
	var change admin.ConfigChange
	if err := d.unchanged(ifVersion); err != nil {
		return change, err
	}
	file := d.operators.Source
	if file.Data == nil {
		return change, fmt.Errorf("%w: the daemon was started without a configuration file", admin.ErrRefused)
	}
	f := d.dir.managed()
	old, err := f.read()
	if err != nil {
		return change, err
	}
	conf, err := d.merged(file, old)
	if err != nil {
		return change, invalid(err)
	}
	m, err := conf.Managed.With(e, conf)
	var all *config.Error
	switch {
	case errors.Is(err, config.ErrUnknown):
		return change, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	case errors.As(err, &all):
		return change, invalid(err)
	case err != nil:
		return change, refusal(err)
	}
	next, err := f.source(m)
	if err != nil {
		return change, err
	}
	if conf, err = d.merged(file, next); err != nil {
		return change, invalid(err)
	}
	if change, err = d.described(conf); err != nil {
		return change, err
	}
	return change, d.reconfigure(ctx, conf, func() error { return f.write(next) })
}
