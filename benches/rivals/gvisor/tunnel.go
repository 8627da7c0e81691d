package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand"
	"net/netip"
	"runtime"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nic = 1
	// queue is how many packets may wait for a poll.
	queue = 1 << 16
	// inFlight is how many connections may wait for their dial.
	inFlight = 4096
	// yields is how often everybody else gets a turn until nobody can want one: the scheduler looks at the queue of those that
	// gave way once in 61 turns even when others are ahead of them.
	yields = 256
)

// tunnel is the stack with what stands behind it.
type tunnel struct {
	clock *clock
	stack *stack.Stack
	link  *channel.Endpoint
	nagle *bool

	// mu guards what the goroutines of the forwarders touch.
	mu    sync.Mutex
	flows map[uint64]*flow
	order []*flow
	count uint64
	said  []string
}

// seeded is a source of numbers that are the same in every run.
type seeded struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (s *seeded) Int63() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Int63()
}

func (s *seeded) Seed(int64) {}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Read(p)
}

func newTunnel(settings settings) *tunnel {
	random := &seeded{rand: rand.New(rand.NewSource(1))}
	t := &tunnel{clock: newClock(), nagle: settings.Nagle, flows: make(map[uint64]*flow)}
	t.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		Clock:              t.clock,
		RandSource:         random,
		SecureRNG:          random,
	})
	t.link = channel.New(queue, settings.MTU, "")
	must(t.stack.CreateNIC(nic, t.link))
	must(t.stack.SetPromiscuousMode(nic, true))
	must(t.stack.SetSpoofing(nic, true))
	t.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	settings.set(t.stack)
	t.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(t.stack, settings.window(), inFlight, t.accept).HandlePacket)
	t.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(t.stack, t.associate).HandlePacket)
	return t
}

func must(err tcpip.Error) {
	if err != nil {
		fail("the stack cannot be set up: %v", err)
	}
}

// accept has a connection dialed before the stack answers its SYN.
func (t *tunnel) accept(request *tcp.ForwarderRequest) {
	f := t.open("tcp", request.ID())
	if result := <-f.answer; result != "connected" {
		request.Complete(true)
		t.close(f, "remote", result)
		return
	}
	endpoint, err := request.CreateEndpoint(&f.queue)
	request.Complete(false)
	if err != nil {
		if _, timeout := err.(*tcpip.ErrTimeout); timeout {
			t.close(f, "engine", "handshake")
		} else {
			t.close(f, "device", "reset")
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f.endpoint = endpoint
	if t.nagle != nil {
		endpoint.SocketOptions().SetDelayOption(*t.nagle)
	}
	if f.over {
		// The far side has reset meanwhile.
		endpoint.Abort()
	}
}

// associate has a UDP flow dialed; its datagrams wait in the endpoint's buffer.
func (t *tunnel) associate(request *udp.ForwarderRequest) {
	f := t.open("udp", request.ID())
	endpoint, err := request.CreateEndpoint(&f.queue)
	if err != nil {
		t.close(f, "engine", "*")
		return
	}
	t.mu.Lock()
	f.endpoint = endpoint
	t.mu.Unlock()
	go func() {
		if result := <-f.answer; result != "connected" {
			endpoint.Close()
			t.close(f, "remote", result)
		}
	}()
}

func (t *tunnel) open(proto string, id stack.TransportEndpointID) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &flow{
		id:     t.count,
		server: address(id.LocalAddress, id.LocalPort),
		answer: make(chan string, 1),
		room:   unbounded,
		stream: proto == "tcp",
	}
	t.count++
	t.flows[f.id] = f
	t.order = append(t.order, f)
	t.say("dial %d %s %s %s", f.id, proto, address(id.RemoteAddress, id.RemotePort), f.server)
	return f
}

func address(host tcpip.Address, port uint16) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(host.AsSlice())
	return netip.AddrPortFrom(ip, port)
}

// say keeps a line for the next poll; mu is held.
func (t *tunnel) say(format string, values ...any) {
	t.said = append(t.said, fmt.Sprintf(format, values...))
}

func (t *tunnel) close(f *flow, by, how string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed(f, by, how)
}

// closed is close where mu is held.
func (t *tunnel) closed(f *flow, by, how string) {
	if f.over {
		return
	}
	f.over = true
	delete(t.flows, f.id)
	t.say("close %d %s %s", f.id, by, how)
}

// take hands out what has been said since.
func (t *tunnel) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := t.said
	t.said = nil
	return said
}

// settle lets the stack and the relays do all that they can do at this time.
func (t *tunnel) settle() {
	for more := true; more; {
		for i := 0; i < yields; i++ {
			runtime.Gosched()
		}
		t.mu.Lock()
		for packet := t.link.Read(); packet != nil; packet = t.link.Read() {
			view := packet.ToView()
			t.say("frame %s", hex.EncodeToString(view.AsSlice()))
			view.Release()
			packet.DecRef()
		}
		more = false
		open := t.order[:0]
		for _, f := range t.order {
			more = t.relay(f) || more
			if !f.over {
				open = append(open, f)
			}
		}
		t.order = open
		t.mu.Unlock()
	}
}

func (t *tunnel) frame(frame []byte) {
	if len(frame) == 0 {
		return
	}
	protocol := ipv4.ProtocolNumber
	switch frame[0] >> 4 {
	case 4:
	case 6:
		protocol = ipv6.ProtocolNumber
	default:
		return
	}
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(bytes.Clone(frame))})
	t.link.InjectInbound(protocol, packet)
	packet.DecRef()
	// Each frame by itself, as a reader of a device hands them over.
	t.settle()
}

func (t *tunnel) flow(id uint64) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flows[id]
}

func (t *tunnel) dialed(id uint64, result string) {
	if f := t.flow(id); f != nil {
		f.connected = result == "connected"
		f.answer <- result
	}
}

// unbounded is the room of a far side that takes all there is.
const unbounded = int(^uint(0) >> 1)

// flow is what the relay of one flow knows. What it takes stands in relay.go.
type flow struct {
	id        uint64
	server    netip.AddrPort
	stream    bool
	answer    chan string
	connected bool
	queue     waiter.Queue
	endpoint  tcpip.Endpoint
	// room is how many bytes the far side takes.
	room int
	// short: replay waits for room.
	short bool
	// ended: the device's stream; finished: the far side's; shut: the stack knows. first is whose came first.
	ended, finished, shut bool
	first                 string
	over                  bool
}
