package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// settings are those of a scenario that the stack has as well; what is not there stays as the stack has it.
type settings struct {
	MTU       uint32    `json:"mtu"`
	MinRTO    *duration `json:"min_rto"`
	LossProbe *bool     `json:"loss_probe"`
	Nagle     *bool     `json:"nagle"`
	HopLimit  *uint8    `json:"hop_limit"`
	TimeWait  *duration `json:"time_wait"`
	FinWait   *duration `json:"tcp_fin_wait"`
	RxBuffer  *size     `json:"rx_buffer"`
	TxBuffer  *size     `json:"tx_buffer"`
}

// duration is a time as scenario files have it: "200ms", "2min".
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(strings.Replace(written, "min", "m", 1))
	*d = duration(parsed)
	return err
}

// size is a number of bytes as scenario files have it: "64B", "4KiB".
type size int

func (s *size) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	var unit string
	if _, err := fmt.Sscanf(written, "%d%s", (*int)(s), &unit); err != nil {
		return err
	}
	*s <<= map[string]int{"B": 0, "KiB": 10, "MiB": 20}[unit]
	return nil
}

func read(text string) settings {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fail("the settings cannot be read: %v", err)
	}
	return s
}

// window is the receive buffer, of which the stack offers half at the most; 0 for its own choice.
func (s settings) window() int {
	if s.RxBuffer == nil {
		return 0
	}
	return 2 * int(*s.RxBuffer)
}

// set gives them to the stack.
func (s settings) set(to *stack.Stack) {
	option := func(value tcpip.SettableTransportProtocolOption) {
		must(to.SetTransportProtocolOption(tcp.ProtocolNumber, value))
	}
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(s.RxBuffer == nil)
	option(&sack)
	option(&moderate)
	if s.RxBuffer != nil {
		bytes := s.window()
		option(&tcpip.TCPReceiveBufferSizeRangeOption{Min: 1, Default: bytes, Max: bytes})
	}
	if s.TxBuffer != nil {
		bytes := int(*s.TxBuffer)
		option(&tcpip.TCPSendBufferSizeRangeOption{Min: 1, Default: bytes, Max: bytes})
	}
	if s.MinRTO != nil {
		value := tcpip.TCPMinRTOOption(*s.MinRTO)
		option(&value)
	}
	if s.LossProbe != nil && !*s.LossProbe {
		// RACK and the probe come together.
		none := tcpip.TCPRecovery(0)
		option(&none)
	}
	if s.TimeWait != nil {
		value := tcpip.TCPTimeWaitTimeoutOption(*s.TimeWait)
		option(&value)
	}
	if s.FinWait != nil {
		value := tcpip.TCPLingerTimeoutOption(*s.FinWait)
		option(&value)
	}
	if s.HopLimit != nil {
		value := tcpip.DefaultTTLOption(*s.HopLimit)
		must(to.SetNetworkProtocolOption(ipv4.ProtocolNumber, &value))
		must(to.SetNetworkProtocolOption(ipv6.ProtocolNumber, &value))
	}
}
