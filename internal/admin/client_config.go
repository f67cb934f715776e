package admin

import (
	"context"
	"net/http"
	"net/url"
)

// Config asks for the configuration that runs.
func (c *Client) Config(ctx context.Context) (Config, error) {
	return ask[Config](ctx, c, "/v1/config")
}

// DiffConfig asks what a configuration would change.
func (c *Client) DiffConfig(ctx context.Context, in Candidate) (ConfigChange, error) {
	var out ConfigChange
	return out, c.do(ctx, http.MethodPost, "/v1/config/diff", "", in, &out)
}

// ApplyConfig makes a configuration what runs, if what runs is still that of
// version, or whatever runs if that is empty.
func (c *Client) ApplyConfig(ctx context.Context, version string, in Candidate) (ConfigChange, error) {
	if version != "" {
		version = etag(version)
	}
	var out ConfigChange
	return out, c.doWithin(ctx, changeTime, http.MethodPost, "/v1/config/apply", version, in, &out)
}

// EditConfig makes, changes or removes one thing, if the configuration that
// runs is still that of version.
func (c *Client) EditConfig(ctx context.Context, version string, e ConfigEdit) (ConfigChange, error) {
	path := map[string]string{"target": "targets/", "LUN": "luns/", "portal": "portals/"}[e.Noun]
	if e.Noun == "initiator" {
		path = "targets/" + url.PathEscape(e.Target) + "/initiators/"
	}
	path = "/v1/config/" + path + url.PathEscape(e.Name)
	if e.Noun == "LUN" && e.Verb == "create" {
		path += "?target=" + url.QueryEscape(e.Target)
	}
	method := map[string]string{"create": http.MethodPut, "set": http.MethodPatch, "delete": http.MethodDelete}[e.Verb]
	var body any
	if e.Verb != "delete" {
		body = Keys{}
		if e.Keys != nil {
			body = e.Keys
		}
	}
	var out ConfigChange
	return out, c.doWithin(ctx, changeTime, method, path, etag(version), body, &out)
}
