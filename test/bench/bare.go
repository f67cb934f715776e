package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// The bare protocol has the sizes of iSCSI and nothing else: a request of 48
// bytes, in it what is asked for, and a reply of 48 bytes; data follow the
// request of a write and the reply of a read.
const (
	headerLen = 48
	opRead    = 1
	opWrite   = 2
	maxData   = 1 << 20
)

func putRequest(h []byte, r row) {
	h[0] = opRead
	if r.Write {
		h[0] = opWrite
	}
	binary.BigEndian.PutUint32(h[4:], uint32(r.Block))
}

// serveBare answers on the inherited listener until the process is killed.
func serveBare() error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = answerBare(c)
		}()
	}
}

// answerBare reads as much as has arrived, and answers all of it in one
// writev.
func answerBare(c net.Conn) error {
	in := make([]byte, 0, headerLen+maxData+64*k)
	header, data := make([]byte, headerLen), make([]byte, maxData)
	var out [][]byte
	for {
		n, err := c.Read(in[len(in):cap(in)])
		if err != nil {
			return err
		}
		in = in[:len(in)+n]
		rest := in
		out = out[:0]
		for len(rest) >= headerLen {
			size := int(binary.BigEndian.Uint32(rest[4:]))
			if size > maxData {
				return errors.New("too much data")
			}
			take := headerLen
			if rest[0] == opWrite {
				take += size
			}
			if len(rest) < take {
				break
			}
			out = append(out, header)
			if rest[0] == opRead {
				out = append(out, data[:size])
			}
			rest = rest[take:]
		}
		in = in[:copy(in[:cap(in)], rest)]
		if len(out) > 0 {
			send := net.Buffers(out)
			if _, err := send.WriteTo(c); err != nil {
				return err
			}
		}
	}
}

// loadBare keeps depth requests outstanding on each of the connections.
func loadBare(ctx context.Context, addr string, r row, d time.Duration) (measured, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		first error
	)
	start := time.Now()
	for range r.Sessions {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			cancel()
			wg.Wait()
			return measured{}, err
		}
		stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
		wg.Go(func() {
			defer c.Close()
			defer stop()
			times, err := askBare(c, r, start.Add(d))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			if err != nil && first == nil {
				first = err
				cancel()
			}
		})
	}
	wg.Wait()
	if first != nil {
		return measured{}, first
	}
	took := time.Since(start)
	slices.Sort(all)
	n := len(all)
	if n == 0 {
		return measured{}, errors.New("no reply")
	}
	return measured{IOs: int64(n), Took: took, P50: all[n/2], P99: all[n*99/100], P999: all[n*999/1000], Max: all[n-1]}, nil
}

// askBare runs one connection until the deadline and returns the time of each
// request. Replies come in the order of the requests.
func askBare(c net.Conn, r row, until time.Time) ([]time.Duration, error) {
	request, reply := headerLen, headerLen
	if r.Write {
		request += r.Block
	} else {
		reply += r.Block
	}
	out := make([]byte, request*r.Depth)
	for i := range r.Depth {
		putRequest(out[i*request:], r)
	}
	in := make([]byte, max(reply*r.Depth, 64*k))
	sent := make([]time.Time, r.Depth) // ring: when the outstanding requests left
	var times []time.Duration
	if _, err := c.Write(out); err != nil {
		return nil, err
	}
	now := time.Now()
	for i := range sent {
		sent[i] = now
	}
	oldest, outstanding, have := 0, r.Depth, 0
	for outstanding > 0 {
		n, err := c.Read(in)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		have += n
		done := have / reply
		if done == 0 {
			continue
		}
		have -= done * reply
		now = time.Now()
		again := now.Before(until)
		for range done {
			times = append(times, now.Sub(sent[oldest]))
			if again {
				sent[oldest] = now
			}
			oldest = (oldest + 1) % r.Depth
		}
		if again {
			if _, err := c.Write(out[:done*request]); err != nil {
				return nil, err
			}
		} else {
			outstanding -= done
		}
	}
	return times, nil
}
