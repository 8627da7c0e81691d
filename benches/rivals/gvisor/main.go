// replay-stack-gvisor puts gVisor's netstack behind the protocol of docs/STACK_PROTOCOL.md, in virtual time: a tunnel as others build
// it on that stack, with a forwarder for TCP and one for UDP behind a NIC that takes every address for its own.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const hello = "hello 1 gvisor %s time=virtual can=half_close,close,by,how,take settings=mtu,min_rto,loss_probe,nagle,hop_limit,time_wait,tcp_fin_wait,rx_buffer,tx_buffer\n"

// version is set by the linker.
var version = "unknown"

func main() {
	// One processor: when nothing else can run, everything has run.
	runtime.GOMAXPROCS(1)
	fmt.Printf(hello, version)
	lines := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	var t *tunnel
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if words[0] == "start" {
			t = newTunnel(read(strings.Join(words[2:], " ")))
			continue
		}
		if t == nil {
			fail("%q comes before start", words[0])
		}
		answer(t, words, out)
		out.Flush()
	}
}

// answer does what one line says; what is to be said to it at once is written.
func answer(t *tunnel, words []string, out *bufio.Writer) {
	word := func(index int) string {
		if index < len(words) {
			return words[index]
		}
		return ""
	}
	number := func(index int) uint64 {
		value, err := strconv.ParseUint(word(index), 10, 64)
		if err != nil {
			fail("%q: %v", strings.Join(words, " "), err)
		}
		return value
	}
	raw := func(index int) []byte {
		bytes, err := hex.DecodeString(word(index))
		if err != nil {
			fail("%q: %v", words[0], err)
		}
		return bytes
	}
	switch words[0] {
	case "at":
		t.clock.to(time.Duration(number(1))*time.Microsecond, t.settle)
	case "frame":
		t.frame(raw(1))
	case "dialed":
		t.dialed(number(1), word(2))
	case "data":
		fmt.Fprintln(out, "took", t.data(number(1), raw(2)))
	case "datagram":
		fmt.Fprintln(out, "took", t.datagram(number(1), raw(3)))
	case "end":
		t.end(number(1), word(2))
	case "block":
		t.allow(number(1), 0)
	case "unblock":
		t.allow(number(1), unbounded)
	case "take":
		t.allow(number(1), int(number(2)))
	case "poll":
		t.settle()
		for _, line := range t.take() {
			fmt.Fprintln(out, line)
		}
		if next, ok := t.clock.next(); ok {
			fmt.Fprintln(out, "next", int64((next+time.Microsecond-1)/time.Microsecond))
		} else {
			fmt.Fprintln(out, "next never")
		}
	default:
		fail("%q is no request that it said it could take", words[0])
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "error: "+format+"\n", values...)
	os.Exit(1)
}
