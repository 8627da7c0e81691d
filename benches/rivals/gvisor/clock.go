package main

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
)

// epoch is the stack's time at the start of a run: some code takes zero for "never".
const epoch = 1000000 * time.Second

// clock is gVisor's manual clock, which besides tells when its next timer is due.
type clock struct {
	*faketime.ManualClock
	start time.Time
	mu    sync.Mutex
	due   map[*timer]time.Time
}

func newClock() *clock {
	c := &clock{ManualClock: faketime.NewManualClock(), due: make(map[*timer]time.Time)}
	c.Advance(epoch)
	c.start = c.Now()
	return c
}

// next is the time from the start at which the next timer is due, if there is one.
func (c *clock) next() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first time.Time
	for _, at := range c.due {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first.Sub(c.start), !first.IsZero()
}

// to moves the clock on, from timer to timer; settle lets the stack finish what each has begun.
func (c *clock) to(at time.Duration, settle func()) {
	for {
		next, ok := c.next()
		if !ok || next > at {
			break
		}
		c.Advance(c.start.Add(next).Sub(c.Now()))
		settle()
	}
	c.Advance(c.start.Add(at).Sub(c.Now()))
}

// AfterFunc implements tcpip.Clock.
func (c *clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{clock: c}
	t.expect(d)
	t.inner = c.ManualClock.AfterFunc(d, func() {
		t.fired()
		f()
	})
	return t
}

type timer struct {
	clock *clock
	inner tcpip.Timer
}

func (t *timer) expect(d time.Duration) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.clock.due[t] = t.clock.Now().Add(d)
}

// fired takes the timer off the list, unless it has been set again meanwhile.
func (t *timer) fired() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if !t.clock.due[t].After(t.clock.Now()) {
		delete(t.clock.due, t)
	}
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	delete(t.clock.due, t)
	t.clock.mu.Unlock()
	return t.inner.Stop()
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	t.expect(d)
	t.inner.Reset(d)
}
