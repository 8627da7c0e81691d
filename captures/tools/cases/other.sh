# shellcheck shell=bash
# Longer conversations of other protocols.

FACTS+=(ssh/interactive)
ssh_interactive() {
    title='An interactive SSH session: login, two short commands, exit'
    shows='Key exchange in large segments, then keystroke-sized ones with pauses between.'
    client=$(software openssh-client) server=$(software openssh-server)
    lab_up
    if recording; then
        mkdir -p /run/sshd
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/host_key"
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/user_key"
        sed "s|@WORK@|$work|g" "$tools/sshd.conf" >"$work/sshd.conf"
    fi
    serve remote tcp 22 /usr/sbin/sshd -D -e -f "$work/sshd.conf"
    capture_start
    local typed="sleep 0.5; echo 'echo one'; sleep 0.4; echo 'echo two'; sleep 0.4; echo exit"
    local options="-F none -tt -i $work/user_key -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"
    device sh -c "{ $typed; } | ssh $options root@$REMOTE4 /bin/sh"
    capture_stop pcapng
    expect_flows 1 31
    expect 2 'ssh.protocol'
    expect 10 'ssh && tcp.len < 200'
}
