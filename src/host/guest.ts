// A guest: started by its parent's libvirt, watched until its agent answers, and then a host one level deeper.
import { type DomainInput, domainXml } from '../domain/domain-xml.ts';
import { NestedCheckError } from '../errors.ts';
import { execInGuest } from './courier.ts';
import type { Host } from './host.ts';

/**
 * Runs on the parent. $1 libvirt URI, $2 domain, $3 seconds, $4 console file; standard input: domain XML.
 * Starts the domain and listens to libvirt's own events, so it ends when the agent connects or the domain is gone.
 * Prints lines `UPTIME WORD` (uptime of the parent in seconds); after the last one, libvirt's words or the console's end.
 * A parent of ours first says when its libvirt is ready (see the image's `host` script).
 */
const START = `
uri=$1 domain=$2 seconds=$3 console=$4
say() { read -r up _ </proc/uptime; echo "$up $1"; }
dir=$(mktemp -d) || exit 71
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' TERM
cat >"$dir/xml"
[ ! -e /run/nested-check/starting ] || flock -s /run/nested-check/starting true
say ready
mkfifo "$dir/events"
# One virsh for both: to start another takes seconds in a deep level.
virsh -c "$uri" "create $dir/xml; event --domain $domain --all --loop --timeout $seconds" >"$dir/events" 2>&1 &
watcher=$!
outcome=refused
while read -r line; do
  case $line in
    Domain*' created from '*) say created; outcome=silent ;;
    *agent-lifecycle*"state: 'connected'"*) outcome=agent; break ;;
    *"'lifecycle'"*": Stopped"* | *"'lifecycle'"*": Crashed"*) outcome=ended; break ;;
    *'failed to get domain'*) [ $outcome = refused ] || outcome=ended; break ;;
    error:*) echo "$line" >>"$dir/words" ;;
  esac
done <"$dir/events"
kill $watcher 2>/dev/null
say $outcome
if [ $outcome = silent ]; then
  # Does its vCPU still get anywhere? Looked at a few times: many addresses, much life.
  for look in 1 2 3 4 5 6 7 8; do
    virsh -q -c "$uri" qemu-monitor-command "$domain" --hmp 'info registers' | grep -o -m 1 'RIP=[0-9a-f]*'
  done | sort -u | wc -l
fi
case $outcome in
  agent) ;;
  refused) cat "$dir/words" ;;
  *) tail -c 3000 "$console" 2>/dev/null ;;
esac
`;

/** How far a start came. Times are milliseconds of the parent's clock since the script began. */
interface StartOutcome {
  readonly outcome: 'agent' | 'refused' | 'ended' | 'silent';
  /** libvirt's words, or the end of the console. */
  readonly words: string;
  /** Milliseconds from the start of `virsh create` to the outcome. */
  readonly bootMs: number;
}

export interface Guest extends Host {
  readonly domain: string;
  readonly bootMs: number;
}

/** The parent's file that a guest's serial console is written to. */
export function consoleOf(parent: Host, domain: string): string {
  return `${parent.consoleFolder}/${domain}.console`;
}

/**
 * Boots a guest in `parent` and waits for its agent.
 * Throws NestedCheckError: `refused` (libvirt's or QEMU's words), `died`, `hung`, `timeout`, or what the parent's exec throws.
 */
export async function startGuest(
  parent: Host,
  input: Omit<DomainInput, keyof Host['bootFiles'] | 'console'>,
  bootSeconds: number,
  signal: AbortSignal,
  /** Is given the domain XML before it is used. */
  onXml: (xml: string) => Promise<void>,
): Promise<Guest> {
  const { name: domain, plan } = input;
  const level = `L${plan.level}`;
  const console = consoleOf(parent, domain);
  const xml = domainXml({ ...input, ...parent.bootFiles, console });
  await onXml(xml);
  const output = await parent.exec(
    {
      argv: ['sh', '-c', START, 'nested-check-start', parent.libvirtUri, domain, `${bootSeconds}`, console],
      stdin: xml,
      // Until libvirt is ready, and a little for the script itself.
      timeoutMs: (bootSeconds * 2 + 60) * 1000,
    },
    signal,
  );
  const { outcome, words, bootMs } = readStart(output.stdout, level, output.stderr);
  const end = words.trim().slice(-1500);
  switch (outcome) {
    case 'refused':
      throw new NestedCheckError('refused', `${level}: libvirt would not start the guest: ${end}`);
    case 'ended':
      throw new NestedCheckError(
        'died',
        `${level}: the guest ended before its agent answered; its console ends:\n${end}`,
      );
    case 'silent':
      throw silence(words, level, bootSeconds);
    case 'agent':
      return {
        level: plan.level,
        domain,
        bootMs,
        libvirtUri: 'qemu:///system',
        bootFiles: { kernel: '/boot/vmlinuz', initramfs: '/boot/initramfs.img', root: '/dev/vda', rootType: 'block' },
        consoleFolder: '/run/nested-check',
        exec: (command, execSignal) => execInGuest(parent, domain, command, execSignal),
      };
    default:
      return outcome satisfies never;
  }
}

/** An agent that did not answer in time: `hung` where the vCPU stood still at every look, else `timeout`. */
function silence(words: string, level: string, bootSeconds: number): NestedCheckError {
  const [, places = '0', end = ''] = /^\s*(\d+)\n?([\s\S]*)$/.exec(words) ?? [];
  const vcpu =
    places === '0'
      ? 'its vCPU could not be looked at'
      : places === '1'
        ? 'its vCPU stood at the same address at 8 looks'
        : `its vCPU was at ${places} addresses in 8 looks`;
  const console = end.trim() === '' ? 'its console is empty' : `its console ends:\n${end.trim().slice(-1500)}`;
  return new NestedCheckError(
    places === '1' ? 'hung' : 'timeout',
    `${level}: the guest's agent was silent for ${bootSeconds} s; ${vcpu}; ${console}`,
    { hint: 'a slower host may need `timeouts: {boot: …}` in the scenario' },
  );
}

/** Reads what START printed. */
export function readStart(stdout: string, level: string, stderr: string): StartOutcome {
  const times = new Map<string, number>();
  const lines = stdout.split('\n');
  for (const [index, line] of lines.entries()) {
    const match = /^(\d{1,10}\.\d{1,3}) (ready|created|refused|agent|ended|silent)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) break;
    times.set(match[2], Number(match[1]) * 1000);
    const word = match[2];
    if (word === 'refused' || word === 'agent' || word === 'ended' || word === 'silent') {
      const started = times.get('ready') ?? Number(match[1]) * 1000;
      return {
        outcome: word,
        words: lines.slice(index + 1).join('\n'),
        bootMs: Math.round(Number(match[1]) * 1000 - started),
      };
    }
  }
  throw new NestedCheckError(
    'command',
    `${level}: the script that starts guests broke off: ${stderr.trim().slice(-500)}`,
  );
}

/** Destroys a guest and with it all levels inside. Not finding it is fine: that is what was wanted. */
export async function destroyGuest(parent: Host, domain: string): Promise<void> {
  const { exitCode, stderr } = await parent.exec(
    { argv: ['virsh', '-q', '-c', parent.libvirtUri, 'destroy', domain], timeoutMs: 60_000 },
    new AbortController().signal,
  );
  if (exitCode !== 0 && !/failed to get domain|domain is not running/.test(stderr)) {
    throw new NestedCheckError('command', `L${parent.level + 1}: could not destroy ${domain}: ${stderr.trim()}`, {
      hint: 'nested-check clean',
    });
  }
}
