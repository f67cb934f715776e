package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Keys are those of a thing in the configuration file.
type Keys map[string]any

// ChangeBody is a request to change the configuration.
type ChangeBody struct {
	Precondition
	Body Keys `doc:"keys as in the configuration file, apart from the name; null takes a key away"`
}

func (a *API) configOperations(api huma.API) {
	huma.Register(api, get("show-config", "/v1/config", "The configuration that runs"),
		func(ctx context.Context, _ *struct{}) (*tagged[Config], error) {
			c, err := a.o.Configuration.Config(ctx)
			if err != nil {
				return nil, configError(err)
			}
			return &tagged[Config]{etag(c.Version), c}, nil
		})

	diff := change("diff-config", http.MethodPost, "/v1/config/diff", "What a configuration would change, without changing it")
	diff.DefaultStatus = http.StatusOK
	huma.Register(api, diff,
		func(ctx context.Context, in *struct{ Body Candidate }) (*answer[ConfigChange], error) {
			return configAnswer(a.o.Configuration.DiffConfig(ctx, &in.Body))
		})

	apply := change("apply-config", http.MethodPost, "/v1/config/apply", "Make a configuration what runs; if that fails, what ran goes on")
	apply.DefaultStatus = http.StatusOK
	huma.Register(api, apply,
		func(ctx context.Context, in *struct {
			Precondition
			Body Candidate
		}) (*answer[ConfigChange], error) {
			version, err := versionOf(in.IfMatch)
			if err != nil {
				return nil, err
			}
			return configAnswer(a.o.Configuration.ApplyConfig(ctx, version, &in.Body))
		})

	for _, n := range []struct{ noun, path string }{
		{"target", "/v1/config/targets/{name}"},
		{"LUN", "/v1/config/luns/{name}"},
		{"portal", "/v1/config/portals/{name}"},
		{"initiator", "/v1/config/targets/{target}/initiators/{name}"},
	} {
		a.editOperations(api, n.noun, n.path)
	}
}

// ThingPath names a thing in the configuration.
type ThingPath struct {
	Name string `path:"name" doc:"its name; of a portal, its address"`
}

// InTarget is where an initiator is, and where a LUN comes.
type InTarget struct {
	Target string `path:"target" doc:"name of the target"`
}

// editOperations are PUT to create, PATCH to set, DELETE to delete.
func (a *API) editOperations(api huma.API, noun, path string) {
	id := map[string]string{"target": "target", "LUN": "lun", "portal": "portal", "initiator": "initiator"}[noun]
	for _, v := range []struct{ verb, method, summary string }{
		{"create", http.MethodPut, "Make a " + noun + " beside the operator's file"},
		{"set", http.MethodPatch, "Change a " + noun + " that was made so"},
		{"delete", http.MethodDelete, "Remove a " + noun + " that was made so"},
	} {
		op := change(v.verb+"-config-"+id, v.method, path, v.summary, http.StatusPreconditionRequired)
		op.DefaultStatus = http.StatusOK
		edit := func(ctx context.Context, ifMatch string, e ConfigEdit) (*answer[ConfigChange], error) {
			if err := needsMatch(ifMatch); err != nil {
				return nil, err
			}
			version, err := versionOf(ifMatch)
			if err != nil {
				return nil, err
			}
			e.Verb, e.Noun = v.verb, noun
			return configAnswer(a.o.Configuration.EditConfig(ctx, version, e))
		}
		switch {
		case noun == "initiator" && v.verb == "delete":
			huma.Register(api, op, func(ctx context.Context, in *struct {
				InTarget
				ThingPath
				Precondition
			}) (*answer[ConfigChange], error) {
				return edit(ctx, in.IfMatch, ConfigEdit{Name: in.Name, Target: in.Target})
			})
		case noun == "initiator":
			huma.Register(api, op, func(ctx context.Context, in *struct {
				InTarget
				ThingPath
				ChangeBody
			}) (*answer[ConfigChange], error) {
				return edit(ctx, in.IfMatch, ConfigEdit{Name: in.Name, Target: in.Target, Keys: in.Body})
			})
		case v.verb == "delete":
			huma.Register(api, op, func(ctx context.Context, in *struct {
				ThingPath
				Precondition
			}) (*answer[ConfigChange], error) {
				return edit(ctx, in.IfMatch, ConfigEdit{Name: in.Name})
			})
		case noun == "LUN" && v.verb == "create":
			huma.Register(api, op, func(ctx context.Context, in *struct {
				ThingPath
				Into string `query:"target" required:"true" doc:"name of the target it comes to"`
				ChangeBody
			}) (*answer[ConfigChange], error) {
				return edit(ctx, in.IfMatch, ConfigEdit{Name: in.Name, Target: in.Into, Keys: in.Body})
			})
		default:
			huma.Register(api, op, func(ctx context.Context, in *struct {
				ThingPath
				ChangeBody
			}) (*answer[ConfigChange], error) {
				return edit(ctx, in.IfMatch, ConfigEdit{Name: in.Name, Keys: in.Body})
			})
		}
	}
}

func configAnswer(c ConfigChange, err error) (*answer[ConfigChange], error) {
	if err != nil {
		return nil, configError(err)
	}
	return &answer[ConfigChange]{c}, nil
}

// configError makes a problem of what is wrong with a configuration, each thing
// with its place. RFC 9457.
func configError(err error) error {
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return problemOf(err)
	}
	var details []error
	for _, p := range invalid.Problems {
		details = append(details, &huma.ErrorDetail{Location: p.Where, Message: p.Text})
	}
	return huma.Error409Conflict("the configuration is not valid; nothing was changed", details...)
}
