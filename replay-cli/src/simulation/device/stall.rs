//! The stall rule: where a recording cannot say what the device would do now, it acts as a device does:
//! acknowledges what it has, resends what is missing, answers a FIN. Every such frame is counted.

use super::inject;
use crate::capture::conversation::Conversation;
use crate::simulation::device::Device;
use crate::simulation::device::gate::Gate;
use crate::simulation::flow::FlowState;
use crate::simulation::world::World;
use engine::Proto;

/// How often a SYN that made no dial goes in again: as often as Linux does by default.
const SYNS_AGAIN: u32 = 6;

impl Device<'_> {
    /// Opens the window to what the head acknowledges, if the recorded one ends before: the device took more than it
    /// had offered last (it had moved its edge back, or the offer is not in the recording). `probe` bytes more it may
    /// owe to a probe. Whether it opened.
    pub(crate) fn reopen_window(
        &mut self,
        world: &mut World<'_>,
        index: usize,
        probe: u64,
    ) -> bool {
        let Gate::Cause { needs } = self.gate(world, index) else {
            return false;
        };
        let (Some(state), Some(flow)) = (self.state(world, index), self.flows.get(index)) else {
            return false;
        };
        let have = state.down.contiguous();
        let edge = flow.acked + u64::from(flow.window);
        if flow.acked == 0 || needs <= edge + probe || state.closed.is_some() {
            return false;
        }
        let unit = 1 << state.down.shift();
        let most = u64::from(u16::MAX) * unit;
        let window = needs.saturating_sub(have).next_multiple_of(unit).min(most);
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        let Some(frame) = inject::acknowledgement(state, have, window) else {
            return false;
        };
        if let Some(flow) = self.flows.get_mut(index) {
            (flow.acked, flow.window) = (have, window);
        }
        self.note_synthetic(index);
        world.inject(vec![frame]);
        true
    }

    /// Acts at once for a flow that can go on only by an acknowledgement the recording does not hold here.
    pub(crate) fn unstick_now(&mut self, world: &mut World<'_>, index: usize) {
        let Some(state) = self.state(world, index) else {
            return;
        };
        if state.closed.is_some() || !state.connected {
            return;
        }
        // The recorded server sent data with its SYN-ACK and the device acknowledged both at once; the engine sends
        // data only to who has acknowledged its SYN-ACK.
        if self.owes_handshake(world, index) {
            self.acknowledge(world, index);
            return;
        }
        if self.hole_before_head(world, index).is_some() {
            self.resend(world, index);
            return;
        }
        self.reopen_window(world, index, 1);
        // Only a dialer that was refused room waits for the device and nothing else.
        let refused = |state: &FlowState| state.script.refused && !state.script.is_timed();
        if !self.state(world, index).is_some_and(refused) {
            return;
        }
        match self.gate(world, index) {
            Gate::Cause { .. } | Gate::Empty => {
                self.acknowledge(world, index);
            }
            Gate::At(_) | Gate::Window { .. } | Gate::Order => {}
        }
    }

    /// Whether the device has a SYN-ACK, and its recorded answer waits for what comes only after an answer.
    fn owes_handshake(&self, world: &World<'_>, index: usize) -> bool {
        let unanswered = self.flows.get(index).is_some_and(|flow| flow.acked == 0);
        unanswered
            && self
                .state(world, index)
                .is_some_and(|state| state.down.contiguous() == 1)
            && match self.gate(world, index) {
                Gate::Cause { needs } => needs > 1,
                Gate::Window { .. } => true,
                Gate::At(_) | Gate::Order | Gate::Empty => false,
            }
    }

    /// Where the head stands if it is beyond the engine's window for what lies between, which the recording holds
    /// only later: with this window the device would have sent that first.
    fn hole_before_head(&self, world: &World<'_>, index: usize) -> Option<u64> {
        let state = self.state(world, index)?;
        let flow = self.flows.get(index)?;
        let tcp = self.conversation(index)?.tcp()?;
        let at = tcp.device.get(flow.head)?.at + flow.offset;
        let handed_on = 1 + state.upstream.len();
        let hole = handed_on < at && state.down.acked <= handed_on;
        (hole && matches!(self.gate(world, index), Gate::Window { .. })).then_some(at)
    }

    /// Nothing is due any more: every flow that is not through gets one more push. Whether any moved.
    pub(crate) fn unstick_all(&mut self, world: &mut World<'_>) -> bool {
        let mut moved = false;
        for index in 0..self.flows.len() {
            if world.livelock {
                return false;
            }
            moved |= self.unstick(world, index);
        }
        // A flow that waits for another does so for as long as any other moves.
        moved || self.lose_patience(world)
    }

    /// Whether the engine still owes something to the dial that it was found to owe something to.
    pub(crate) fn is_owed(&self, world: &World<'_>) -> bool {
        self.owed.is_some_and(|dial| self.owes(world, dial))
    }

    /// Looks for a dial to which the engine owes something, the newest first: it is the last to have it.
    pub(crate) fn finds_owed(&mut self, world: &World<'_>) -> bool {
        let mut dials = (0..world.flows.len()).rev();
        self.owed = dials.find(|dial| self.owes(world, *dial));
        self.owed.is_some()
    }

    /// Whether the engine owes a dial more than the end of an idle flow: its timeout, or a retransmission.
    fn owes(&self, world: &World<'_>, dial: usize) -> bool {
        let Some(state) = world.flows.get(dial).filter(|flow| flow.closed.is_none()) else {
            return false;
        };
        let newest = |index: &usize| world.by_conversation.get(*index) == Some(&Some(dial));
        let index = state.conversation.filter(newest);
        let flow = index.and_then(|index| self.flows.get(index));
        let in_flight = flow.is_some_and(|flow| state.down.emitted > flow.acked);
        !state.answered || (state.key.proto == Proto::Tcp && in_flight)
    }

    fn lose_patience(&mut self, world: &World<'_>) -> bool {
        let mut moved = false;
        for index in 0..self.flows.len() {
            if self.gate(world, index) == Gate::Order
                && let Some(flow) = self.flows.get_mut(index).filter(|flow| !flow.impatient)
            {
                flow.impatient = true;
                moved = true;
                self.look(world, index);
            }
        }
        moved
    }

    /// A SYN that made no dial goes in again, as a device retransmits it: the engine may have held the tuple of a
    /// connection that ended a moment ago (RFC 9293 section 3.6.1).
    fn send_syn_again(&mut self, world: &World<'_>, index: usize) -> bool {
        let Some(flow) = self.flows.get_mut(index) else {
            return false;
        };
        if flow.syns_again >= SYNS_AGAIN {
            return false;
        }
        flow.syns_again += 1;
        (flow.head, flow.offset, flow.dialed) = (0, 0, false);
        (flow.acked, flow.window, flow.last_at) = (0, 0, None);
        // RFC 6298 section 2: one second at first, twice as long each time.
        flow.not_before = world.now + (500_000 << flow.syns_again);
        flow.impatient = true;
        self.note_synthetic(index);
        self.look(world, index);
        true
    }

    fn unstick(&mut self, world: &mut World<'_>, index: usize) -> bool {
        let gate = self.gate(world, index);
        let dialed = self.flows.get(index).is_some_and(|flow| flow.dialed);
        let tcp = self.conversation(index).and_then(Conversation::tcp);
        let Some(tcp) = tcp.filter(|_| dialed) else {
            return false;
        };
        let Some(state) = self.state(world, index) else {
            return self.send_syn_again(world, index);
        };
        if state.closed.is_some() {
            return false;
        }
        if self.acknowledge(world, index)
            || self.resend(world, index)
            || self.reopen_window(world, index, 0)
        {
            return true;
        }
        let Some(state) = self.state(world, index) else {
            return false;
        };
        let flow = self.flows.get(index);
        let Some(segment) = flow.and_then(|flow| tcp.device.get(flow.head)) else {
            return false;
        };
        let number = segment.number;
        let what = match gate {
            Gate::Cause { needs } => {
                let sent = state.down.emitted;
                let missing = needs.saturating_sub(sent);
                let script = state.waits_for(world.capture);
                format!(
                    "packet {number} waits for {missing} byte(s) of the far side: it acknowledged up to {needs}, the engine has sent {sent}; {script}"
                )
            }
            Gate::Window { to } => format!(
                "packet {number} waits for room up to byte {to}; the engine's window ends at {}",
                state.down.room_to
            ),
            Gate::At(_) | Gate::Order | Gate::Empty => return false,
        };
        self.finding(world, index, what, Some(number.into()));
        if let Some(flow) = self.flows.get_mut(index) {
            flow.stuck = true;
        }
        // Others may have waited for it.
        true
    }

    /// Acknowledges everything the device has, with the window last recorded. Whether that was anything new.
    pub(crate) fn acknowledge(&mut self, world: &mut World<'_>, index: usize) -> bool {
        let Some(state) = self.state(world, index) else {
            return false;
        };
        if state.closed.is_some() || state.down.reset || state.down.engine_isn.is_none() {
            return false;
        }
        let Some(flow) = self.flows.get(index) else {
            return false;
        };
        let have = state.down.contiguous();
        // Before the device's own acknowledgement of the SYN-ACK is in, its handshake is not the runner's to finish.
        let early = flow.acked == 0
            && have <= 1
            && !self.is_through(index)
            && !self.owes_handshake(world, index);
        if have <= flow.acked || early {
            return false;
        }
        let window = flow.window.max(1460);
        let Some(frame) = inject::acknowledgement(state, have, window) else {
            return false;
        };
        if let Some(flow) = self.flows.get_mut(index) {
            flow.acked = have;
        }
        self.note_synthetic(index);
        world.inject(vec![frame]);
        true
    }

    /// Sends again what the engine has not acknowledged of what the device had sent, holes of the recording included.
    fn resend(&mut self, world: &mut World<'_>, index: usize) -> bool {
        let tcp = self.conversation(index).and_then(Conversation::tcp);
        let (Some(tcp), Some(state), Some(flow)) =
            (tcp, self.state(world, index), self.flows.get(index))
        else {
            return false;
        };
        let mark = (
            state.down.acked,
            state.down.emitted,
            flow.head,
            state.script.actions.done(),
            state.upstream.len(),
        );
        let hole = self.hole_before_head(world, index).unwrap_or(0);
        let until = hole.max(state.down.device_edge);
        if state.down.acked >= until || state.down.engine_isn.is_none() || flow.tried == Some(mark)
        {
            return false;
        }
        let frames = inject::resend(world, state, tcp, until, flow.acked.max(1), flow.window);
        if frames.is_empty() {
            return false;
        }
        if let Some(flow) = self.flows.get_mut(index) {
            flow.tried = Some(mark);
        }
        for _ in &frames {
            self.note_synthetic(index);
        }
        world.inject(frames);
        true
    }
}
