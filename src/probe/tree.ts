// Reads what a Linux machine says about its CPUs, with one script that runs anywhere a POSIX sh does.

/**
 * POSIX sh (dash, busybox, bash) with find and grep. Prints one line `path:content` for each line of each file it
 * reads, paths relative to the root without a leading slash, files it can't read left out.
 *
 * Without an argument the root is the working directory, such as a captured tree, and nothing outside of it is looked
 * at. With the argument `live` the root is `/`, and these pseudo-files are added:
 * - `dev/kvm`: `open`, `denied` or `absent`, after really opening it for reading and writing
 * - `cpuid`: the lines of `cpuid -1 -r` (Debian package cpuid; it executes the instruction, no device needed)
 * - `lscpu-hypervisor`: lscpu's `Hypervisor vendor`, only where that cpuid program is missing
 *
 * `kernel` is the kernel release. A tree written from this output reads back as the same facts.
 * Every process costs tens of milliseconds in a deeply nested guest, so it starts as few as it can.
 */
export const TREE_SCRIPT: string = String.raw`
export LC_ALL=C
live=$1
pseudo=
if [ "$live" = live ]; then
  cd / || exit 1
  set -- -path proc/cpuinfo
else
  # What only captured trees hold: the pseudo-files, and the CPU masks of kernels too old for lists.
  set -- -path cpuid -o -path kernel -o -path lscpu-hypervisor -o -path dev/kvm \
    -o -name shared_cpu_map -o -name core_siblings -o -name thread_siblings
  pseudo='cpuid kernel lscpu-hypervisor dev/kvm'
fi

find proc/cpuinfo sys/hypervisor/type sys/devices/system/cpu sys/module/kvm*/parameters $pseudo \
  \( -name power -o -name cpuidle -o -name cpufreq -o -name microcode -o -name hotplug \) -prune -o \
  -type f \( "$@" -o -path 'proc/*' -o -path 'sys/hypervisor/*' -o -path '*/vulnerabilities/*' -o -path '*/parameters/*' \
  -o -name online -o -name offline -o -name possible -o -name present \
  -o -name level -o -name type -o -name size -o -name ways_of_associativity -o -name number_of_sets \
  -o -name coherency_line_size -o -name id -o -name '*_list' -o -name '*_id' \) \
  -exec grep -saH '' {} + 2>/dev/null

osrelease=proc/sys/kernel/osrelease
if [ -f $osrelease ] && [ ! -h $osrelease ] && { read -r release <$osrelease; } 2>/dev/null; then
  printf 'kernel:%s\n' "$release"
fi

[ "$live" = live ] || exit 0

if [ ! -c dev/kvm ]; then
  echo dev/kvm:absent
elif ( : <>dev/kvm ) 2>/dev/null; then
  echo dev/kvm:open
else
  echo dev/kvm:denied
fi

dump=
if command -v cpuid >/dev/null; then
  dump=$(cpuid -1 -r 2>/dev/null)
fi
case $dump in
*eax=0x*)
  printf '%s\n' "$dump" | while IFS= read -r line; do
    printf 'cpuid:%s\n' "$line"
  done
  ;;
*)
  if command -v lscpu >/dev/null; then
    lscpu 2>/dev/null | while IFS=: read -r key value; do
      case $key in
      'Hypervisor vendor') printf 'lscpu-hypervisor:%s\n' "$value" ;;
      esac
    done
  fi
  ;;
esac
exit 0
`;

/** TREE_SCRIPT for callers that can't pass an argument: reads the machine it runs on. */
export const LIVE_TREE_SCRIPT: string = `set -- live\n${TREE_SCRIPT}`;

/** Contents by path; the lines of one file are joined by `\n`, without a final one. */
export type Tree = ReadonlyMap<string, string>;

// Far above what a machine of 1,024 CPUs prints (about 4 MB), far below what would hurt us.
const MAX_CHARACTERS = 16 * 1024 * 1024;
const MAX_LINE = 64 * 1024;

const PATH = /^(?!\.)[\w.+@-]{1,64}(?:\/(?!\.)[\w.+@-]{1,64}){0,12}$/;

/**
 * Output of TREE_SCRIPT → Tree. The output may come from a hostile guest: lines that are no `path:content` are passed
 * over, longer lines are cut at 64 Ki characters, and nothing is read beyond 16 Mi characters. Never throws.
 */
export function parseTree(output: string): Tree {
  const lines = new Map<string, string[]>();
  let previous: { prefix: string; content: string[] } | null = null;
  for (const line of output.slice(0, MAX_CHARACTERS).split('\n')) {
    // Most lines are of the same file as the one before.
    if (previous === null || !line.startsWith(previous.prefix)) {
      previous = null;
      const path = line.slice(0, Math.max(0, line.indexOf(':')));
      if (!PATH.test(path)) continue;
      const content = lines.get(path) ?? [];
      lines.set(path, content);
      previous = { prefix: `${path}:`, content };
    }
    previous.content.push(line.slice(previous.prefix.length, previous.prefix.length + MAX_LINE).replace(/\r$/, ''));
  }
  return new Map([...lines].map(([path, content]) => [path, content.join('\n')]));
}
