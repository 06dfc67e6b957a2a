// The kernel's two ways of writing a set of CPUs.

// Linux itself stops at 8,192.
const MAX_CPU = 16_383;

/** `0-3,8` → [0, 1, 2, 3, 8], each once, in order; an empty text is no CPU; null when it is no list or beyond 16,383. */
export function parseCpuList(text: string): number[] | null {
  const cpus = new Set<number>();
  if (text.trim() === '') return [];
  for (const range of text.trim().split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range);
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last > MAX_CPU) return null;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

/** A hexadecimal mask such as `ff` or `00000001,ffffffff` (most significant word first) → CPUs; null when it is none. */
export function parseCpuMask(text: string): number[] | null {
  const words = text.trim().split(',');
  if (words.length * 32 > MAX_CPU + 1 || !words.every((word) => /^[0-9a-f]{1,8}$/i.test(word))) return null;
  const cpus: number[] = [];
  for (const [index, word] of words.toReversed().entries()) {
    const bits = Number.parseInt(word, 16);
    for (let bit = 0; bit < 32; bit++) {
      if ((bits >>> bit) & 1) cpus.push(index * 32 + bit);
    }
  }
  return cpus;
}

/** CPUs in order → `0-3,8`, as the kernel would list them. */
export function formatCpuList(cpus: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const cpu of cpus) {
    const range = ranges.at(-1);
    if (range !== undefined && range[1] === cpu - 1) range[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
