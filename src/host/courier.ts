// How a command gets one level down: a fixed script on the parent that hands it to the guest's agent through the
// parent's libvirt and waits there for its end. So a level adds one script, not one round trip for each look.
import { z } from 'zod';
import { NestedCheckError } from '../errors.ts';
import { ExecStatus, execArguments, outputOf } from './agent.ts';
import type { Command, Host, Output } from './host.ts';

/** $1 libvirt URI, $2 domain; standard input: the guest-exec request. Prints the last guest-exec-status reply. */
const COURIER = `
uri=$1 domain=$2
ask() { virsh -q -c "$uri" qemu-agent-command "$domain" "$1" --timeout 60 2>&1; }
reply=$(ask "$(cat)") || { printf '%s' "$reply" >&2; exit 70; }
pid=\${reply#*\\"pid\\":}
pid=\${pid%%[!0-9]*}
now() { read -r up _ </proc/uptime; echo "\${up%.*}\${up#*.}"; }
started=$(now)
while :; do
  before=$(now)
  reply=$(ask '{"execute":"guest-exec-status","arguments":{"pid":'"$pid"'}}') || { printf '%s' "$reply" >&2; exit 70; }
  case $reply in
    *'"exited":true'*) printf '%s' "$reply"; exit 0 ;;
  esac
  # Each look takes time from the guest that is waited for, the more the deeper. So it rests longer than a look takes,
  # and the longer, the longer it has waited: a look each second at every level once kept level 3 from ever coming up.
  after=$(now)
  rest=$(((after - before) * 3 / 2 + (after - started) / 8 + 2))
  sleep $((rest / 100)).$((rest % 100 / 10))$((rest % 10))
done
`;

/** Exit code of COURIER when libvirt or the agent would not have it. */
const REFUSED = 70;
const Reply = z.object({ return: ExecStatus });

/** Runs a command in the guest `domain` of `parent`. Throws NestedCheckError `agent`, `timeout`, `interrupted`. */
export async function execInGuest(
  parent: Host,
  domain: string,
  command: Command,
  signal: AbortSignal,
): Promise<Output> {
  const { exitCode, stdout, stderr } = await parent.exec(
    {
      argv: ['sh', '-c', COURIER, 'nested-check-courier', parent.libvirtUri, domain],
      stdin: JSON.stringify({ execute: 'guest-exec', arguments: execArguments(command) }),
      timeoutMs: command.timeoutMs,
    },
    signal,
  );
  const level = `L${parent.level + 1}`;
  if (exitCode !== 0) {
    const words = stderr.trim().slice(-500) || `the courier ended with ${exitCode}`;
    throw new NestedCheckError(
      'agent',
      `${level}: ${exitCode === REFUSED ? 'the guest agent is out of reach' : 'the way in broke'}: ${words}`,
    );
  }
  const reply = Reply.safeParse(parseJson(stdout));
  if (!reply.success)
    throw new NestedCheckError('agent', `${level}: the guest agent sent something unexpected`, { cause: reply.error });
  return outputOf(reply.data.return);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
