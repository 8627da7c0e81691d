package main

import (
	"bytes"
	"encoding/hex"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// chunk is how much is read at a time, bytes.
const chunk = 1 << 16

// relay moves what can be moved; whether anything was. t.mu is held.
func (t *tunnel) relay(f *flow) bool {
	if f.over || f.endpoint == nil {
		return false
	}
	if !f.stream {
		return f.connected && t.datagrams(f)
	}
	moved := t.up(f)
	if f.over {
		return true
	}
	if f.finished && !f.shut {
		f.endpoint.Shutdown(tcpip.ShutdownWrite)
		f.shut = true
		moved = true
	}
	if f.short && !f.finished && f.endpoint.Readiness(waiter.EventOut) != 0 {
		f.short = false
		t.say("resume %d %d", f.id, f.space())
	}
	if f.ended && f.finished {
		f.endpoint.Close()
		t.closed(f, f.first, "fin")
		return true
	}
	return moved
}

// up takes bytes of the device for the far side.
func (t *tunnel) up(f *flow) bool {
	moved := false
	for !f.ended && f.room > 0 {
		piece := make([]byte, min(chunk, f.room))
		into := tcpip.SliceWriter(piece)
		result, err := f.endpoint.Read(&into, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			f.endpoint.ModerateRecvBuf(result.Count)
			if f.room != unbounded {
				f.room -= result.Count
			}
			t.say("data %d %s", f.id, hex.EncodeToString(piece[:result.Count]))
			moved = true
		case *tcpip.ErrWouldBlock:
			return moved
		case *tcpip.ErrClosedForReceive:
			f.ended = true
			f.begins("device")
			t.say("half_close %d", f.id)
			return true
		default:
			t.failed(f, err)
			return true
		}
	}
	// Nobody reads, but a reset is noticed.
	if f.endpoint.Readiness(waiter.EventErr|waiter.EventHUp)&waiter.EventErr != 0 {
		if err := f.endpoint.LastError(); err != nil {
			t.failed(f, err)
			return true
		}
	}
	return moved
}

// failed ends a flow whose connection is gone.
func (t *tunnel) failed(f *flow, err tcpip.Error) {
	f.endpoint.Close()
	if _, timeout := err.(*tcpip.ErrTimeout); timeout {
		t.closed(f, "engine", "abandoned")
		return
	}
	t.closed(f, "device", "reset")
}

func (t *tunnel) datagrams(f *flow) bool {
	for moved := false; ; moved = true {
		var datagram bytes.Buffer
		if _, err := f.endpoint.Read(&datagram, tcpip.ReadOptions{}); err != nil {
			return moved
		}
		t.say("datagram %d %s %s", f.id, f.server, hex.EncodeToString(datagram.Bytes()))
	}
}

func (f *flow) begins(side string) {
	if f.first == "" {
		f.first = side
	}
}

// space is how many bytes the endpoint's send buffer has room for.
func (f *flow) space() int {
	used, err := f.endpoint.GetSockOptInt(tcpip.SendQueueSizeOption)
	if err != nil {
		return 1
	}
	return max(1, int(f.endpoint.SocketOptions().GetSendBufferSize())-used)
}

// data is bytes of the far side; how many the stack has room for.
func (t *tunnel) data(id uint64, payload []byte) int64 {
	t.settle()
	f := t.flow(id)
	if f == nil || !f.stream || f.finished {
		return 0
	}
	if f.endpoint == nil {
		f.short = len(payload) > 0
		return 0
	}
	taken, err := f.endpoint.Write(bytes.NewReader(payload), tcpip.WriteOptions{})
	if err != nil {
		taken = 0
	}
	f.short = taken < int64(len(payload))
	return taken
}

// datagram is one of the far side; 1 if the stack took it.
func (t *tunnel) datagram(id uint64, payload []byte) int {
	f := t.flow(id)
	if f == nil || f.stream || f.endpoint == nil {
		return 0
	}
	if _, err := f.endpoint.Write(bytes.NewReader(payload), tcpip.WriteOptions{}); err != nil {
		return 0
	}
	return 1
}

// end is the end of the far side's stream.
func (t *tunnel) end(id uint64, how string) {
	t.settle()
	f := t.flow(id)
	if f == nil || f.finished {
		return
	}
	if how != "eof" {
		if f.endpoint != nil {
			f.endpoint.Abort()
		}
		t.close(f, "remote", how)
		return
	}
	f.finished = true
	f.begins("remote")
}

// allow says how many more bytes the far side takes.
func (t *tunnel) allow(id uint64, room int) {
	if f := t.flow(id); f != nil {
		f.room = room
	}
}
