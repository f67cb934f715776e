package daemon

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"nas-target/internal/admin"
)

// logLevel is the level of the log in a word.
func (d *Daemon) logLevel() string {
	if d.level == (zap.AtomicLevel{}) {
		return zapcore.LevelOf(d.news.log.Core()).String()
	}
	return d.level.String()
}

func (d *Daemon) setLogLevel(word string) error {
	l, err := zapcore.ParseLevel(word)
	if err != nil {
		return fmt.Errorf("%w: %v", admin.ErrRefused, err)
	}
	if d.level == (zap.AtomicLevel{}) {
		return fmt.Errorf("%w: the level of this daemon's log is fixed", admin.ErrRefused)
	}
	d.level.SetLevel(l)
	return nil
}
