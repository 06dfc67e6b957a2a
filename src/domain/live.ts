// A running domain as its parent sees it: the XML that libvirt made, QEMU's arguments, and QEMU's own word on KVM.

/** Runs on the parent. $1 libvirt URI, $2 domain, $3 console file. Prints lines `NAME BASE64`. */
export const LIVE_SCRIPT = `
put() { printf "%s " "$1"; base64 -w0; echo; }
virsh -q -c "$1" "dumpxml $2; qemu-monitor-command $2 '{\\"execute\\":\\"query-kvm\\"}'" 2>&1 | put virsh
process=$(pgrep -o -f -- "^[^ ]*qemu[^ ]* -name guest=$2,") && put argv <"/proc/$process/cmdline"
tail -c 100000 "$3" | put console
cat "/var/log/libvirt/qemu/$2.log" "\${XDG_CACHE_HOME:-$HOME/.cache}/libvirt/qemu/log/$2.log" 2>/dev/null | tail -c 100000 | put log
`;

const DOMAIN_END = '</domain>';

/** What LIVE_SCRIPT found; null for what could not be read. */
export interface LiveDomain {
  readonly xml: string | null;
  /** The <cpu> element; null when there is none. */
  readonly cpuXml: string | null;
  /** Machine type with its version, e.g. `pc-q35-7.2`. */
  readonly machine: string | null;
  /** QEMU's arguments. */
  readonly argv: readonly string[] | null;
  /** All -cpu arguments; more than one means that something overrode libvirt. */
  readonly cpuArguments: readonly string[];
  /** End of the serial console. */
  readonly console: string | null;
  /** End of QEMU's log as libvirt keeps it. */
  readonly log: string | null;
  /** `kvm` or `tcg` by QMP query-kvm. */
  readonly accelerator: 'kvm' | 'tcg' | null;
}

/** Reads what LIVE_SCRIPT printed (already split by readRound). */
export function readLive(found: ReadonlyMap<string, string>): LiveDomain {
  // One virsh for both, since starting another takes seconds in a deep level: the XML, and after it QEMU's answer.
  const words = found.get('virsh') ?? '';
  const end = words.indexOf(DOMAIN_END);
  const xml = end === -1 ? null : words.slice(0, end + DOMAIN_END.length);
  const argv = (found.get('argv') ?? '').split('\0').filter((word) => word !== '');
  const enabled = /"enabled": ?(true|false)/.exec(words.slice(end === -1 ? 0 : end))?.[1];
  return {
    xml,
    cpuXml: xml === null ? null : elementOf(xml, 'cpu'),
    machine: / machine=['"]([^'"]+)['"]/.exec(elementOf(xml ?? '', 'type') ?? '')?.[1] ?? null,
    argv: argv.length === 0 ? null : argv,
    cpuArguments: argv.filter((_, index) => argv[index - 1] === '-cpu'),
    console: found.get('console') ?? null,
    log: found.get('log') ?? null,
    accelerator: enabled === undefined ? null : enabled === 'true' ? 'kvm' : 'tcg',
  };
}

/** The first element of a name in XML as libvirt prints it, from `<` to its end; null when there is none. */
function elementOf(xml: string, name: string): string | null {
  const start = [`<${name} `, `<${name}>`].map((tag) => xml.indexOf(tag)).filter((index) => index !== -1);
  if (start.length === 0) return null;
  const rest = xml.slice(Math.min(...start));
  const open = rest.indexOf('>') + 1;
  if (open === 0) return null;
  if (rest[open - 2] === '/') return rest.slice(0, open);
  const end = rest.indexOf(`</${name}>`);
  return end === -1 ? null : rest.slice(0, end + name.length + 3);
}
