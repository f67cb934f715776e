package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"time"

	"nas-target/internal/admin"
	"nas-target/internal/config"
)

// webDoor is where the page, the API and the metrics are served beside the
// socket. It is immutable; a change of the configuration makes another one.
type webDoor struct {
	conf     config.Page
	cert     *tls.Certificate // nil: not encrypted
	at       netip.AddrPort
	listener net.Listener
	server   *admin.Server // nil: it is closed, for failure if that is not nil
	failure  error
}

// openPage opens what conf asks for, which may be nothing.
func (d *Daemon) openPage(conf config.Page) *webDoor {
	w := &webDoor{conf: conf}
	if conf.Listen != "" {
		w.failure = w.open(d)
	}
	return w
}

func (w *webDoor) open(d *Daemon) error {
	token, err := admin.LoadToken(d.dir.root)
	if err != nil {
		return err
	}
	if w.cert, err = certificate(w.conf); err != nil {
		return err
	}
	var secure *tls.Config
	if w.cert != nil {
		secure = &tls.Config{Certificates: []tls.Certificate{*w.cert}}
	}
	l, err := admin.ListenWeb(w.conf.Listen, secure)
	if err != nil {
		return err
	}
	if w.at, err = netip.ParseAddrPort(l.Addr().String()); err != nil {
		return errors.Join(err, l.Close())
	}
	web := admin.WebOptions{Token: token, Hosts: append([]string{w.at.String()}, w.conf.Hosts...)}
	if w.at.Addr().Unmap().IsLoopback() {
		web.Local = true
		web.Hosts = append(admin.LocalHosts(w.at), w.conf.Hosts...)
	}
	w.listener, w.server = l, admin.Serve(l, d.api.Web(web))
	return nil
}

// certificate reads what the page proves itself with, nil if it does not.
func certificate(conf config.Page) (*tls.Certificate, error) {
	if conf.Certificate == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(conf.Certificate, conf.Key)
	return &c, err
}

// is reports whether w is what conf asks for, with the certificate that is in
// its file now.
func (w *webDoor) is(conf config.Page) bool {
	if w.failure != nil || !reflect.DeepEqual(w.conf, conf) {
		return false
	}
	c, err := certificate(conf)
	if err != nil || (c == nil) != (w.cert == nil) {
		return false
	}
	return c == nil || len(c.Certificate) > 0 && bytes.Equal(c.Certificate[0], w.cert.Certificate[0])
}

// openPage opens the page elsewhere, or otherwise, or not at all.
func (c *change) openPage() error {
	old, conf := c.d.page.Load(), c.next.conf.Page
	if old.is(conf) {
		return nil
	}
	if old.listener != nil && old.conf.Listen == conf.Listen {
		// Its address has to be free. Requests under way, of which this change
		// may be one, go on.
		old.listener.Close()
		c.undo = append(c.undo, func() {
			c.d.page.Store(c.d.openPage(old.conf))
			c.d.retirePage(old)
		})
	}
	next := c.d.openPage(conf)
	if next.failure != nil && (old.failure == nil || !reflect.DeepEqual(old.conf, conf)) {
		return refusal(next.failure)
	}
	c.d.page.Store(next)
	c.oldPage = old
	c.undo = append(c.undo, func() {
		c.d.page.Store(old)
		if next.listener != nil {
			next.listener.Close()
			c.d.retirePage(next)
		}
	})
	return nil
}

// pagePatience is what requests to a page that is gone have left.
const pagePatience = 5 * time.Second

// retirePage ends w aside: the request that asks for it may have come through
// it.
func (d *Daemon) retirePage(w *webDoor) {
	if w.server == nil {
		return
	}
	d.retiring.all.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), pagePatience)
		defer cancel()
		_ = w.server.Close(ctx) // what is left is cut off
	})
}

// Page returns the URL of the page, "" if there is none.
func (d *Daemon) Page() string {
	w := d.page.Load()
	switch {
	case w == nil || w.server == nil:
		return ""
	case w.cert != nil:
		return "https://" + w.at.String() + "/"
	}
	return "http://" + w.at.String() + "/"
}
