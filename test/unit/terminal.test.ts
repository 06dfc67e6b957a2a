// The live view and the table at the end, from lists of events.
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Facts } from '../../src/cpu/facts.ts';
import type { Environment } from '../../src/environment.ts';
import { EMPTY_REPORT, fold } from '../../src/report/fold.ts';
import type { CaseResult, HostReport, LevelReport, ProbeResult } from '../../src/report/report.ts';
import { worst } from '../../src/report/report.ts';
import { openTerminal } from '../../src/report/terminal.ts';
import type { RunEvent } from '../../src/run/events.ts';

const facts: Facts = {
  vendor: 'AuthenticAMD',
  modelName: 'AMD EPYC',
  family: 25,
  model: 1,
  stepping: 1,
  microcode: null,
  hypervisor: 'KVM',
  flags: ['svm'],
  virtualization: 'svm',
  kvmDevice: true,
  nestedParameter: '1',
  caches: [{ level: 1, type: 'Data', sizeBytes: 65_536, ways: 2, instances: 1, sharedCpuList: '0' }],
  topology: { sockets: 1, dies: 1, cores: 1, threads: 1, cpus: 1 },
  vulnerabilities: {},
};
const passed: ProbeResult = {
  name: 'boots',
  verdict: 'pass',
  expected: 'it answers',
  observed: 'it answers',
  hint: null,
};
const failed: ProbeResult = {
  name: 'virtualization',
  verdict: 'fail',
  expected: 'vmx or svm',
  observed: 'neither',
  hint: 'use host-passthrough',
};
const level = (number: number, over: Partial<LevelReport> = {}): LevelReport => ({
  level: number,
  accelerator: 'kvm',
  machine: 'pc-q35-7.2',
  vcpus: 1,
  memoryMiB: 320,
  bootMs: 4200 * number,
  cpu: { requested: { mode: 'host-passthrough' }, liveXml: null, qemuCpu: 'host' },
  facts,
  kvm: null,
  versions: { kernel: null, qemu: null, libvirt: null },
  probes: [passed],
  ...over,
});
const result = (id: string, levels: LevelReport[], over: Partial<CaseResult> = {}): CaseResult => ({
  id,
  scenario: id,
  variant: {},
  verdict: worst(levels.flatMap((each) => each.probes.map(({ verdict }) => verdict))),
  attempts: 1,
  durationMs: 10,
  depth: levels.length,
  asked: { atLeast: 2, try: 2 },
  levels,
  stopped: null,
  problem: null,
  timeline: [],
  evidence: `cases/${id}`,
  ...over,
});
const host: HostReport = {
  kind: 'emulated',
  reason: 'asked for with --host emulated',
  facts,
  kernel: '6.1.0',
  qemu: '7.2.22',
  libvirt: null,
  kvm: null,
};
const startedAt = '2026-01-02T03:04:05.678Z';
const cases = ['quick', 'deep'];
const begin: RunEvent[] = [
  { kind: 'run-started', at: 0, version: '1', startedAt, folder: '/r', cases },
  { kind: 'host-ready', at: 50, host },
  { kind: 'case-started', at: 60, case: 'quick', evidence: 'cases/quick' },
];
const booting: RunEvent = { kind: 'stage', at: 70, case: 'quick', level: 1, stage: 'boot' };
const end: RunEvent = { kind: 'run-done', at: 65_432, interrupted: false, problem: null };
const caseDone = (each: CaseResult): RunEvent => ({ kind: 'case-done', at: 900, result: each });

interface Options {
  env?: Record<string, string>;
  isTTY?: boolean;
  columns?: number;
  debug?: boolean;
}

function open({ env = {}, isTTY = false, columns = 80, debug = false }: Options = {}) {
  let text = '';
  const stdout = Object.assign(
    new Writable({
      write(chunk, _, done) {
        text += chunk;
        done();
      },
    }),
    { isTTY, columns },
  );
  const environment: Environment = { cwd: '/', env, stdout, stderr: stdout, signal: new AbortController().signal };
  const terminal = openTerminal(environment, debug);
  let report = EMPTY_REPORT;
  return {
    terminal,
    tell(...events: RunEvent[]): void {
      for (const event of events) {
        report = fold(report, event);
        terminal.handle(event, report);
      }
    },
    /** What was written since the last call. */
    written(): string {
      const since = text;
      text = '';
      return since;
    },
  };
}

/** All that is written for these events. */
function show(events: RunEvent[], options: Options = {}): string {
  const view = open(options);
  view.tell(...events);
  view.terminal.close();
  return view.written();
}

describe('without a terminal', () => {
  const good = result('quick', [level(1), level(2)]);
  const bad = result('deep', [
    level(1),
    level(2, { probes: [passed, failed], facts: { ...facts, virtualization: null } }),
  ]);

  test('plain lines, from the first to the table', () => {
    const levels: RunEvent[] = [1, 2].map((number) => ({
      kind: 'level-done',
      at: 80,
      case: 'quick',
      level: level(number),
    }));
    expect(show([...begin, booting, ...levels, caseDone(good), end])).toBe(
      `2 cases: quick, deep
host: emulated (asked for with --host emulated)
      AMD EPYC; Linux 6.1.0, QEMU 7.2.22
quick
  L1 up after 4.2 s, svm
  L2 up after 8.4 s, svm

case   level  cpu               virtualization  KVM            caches      boot   verdict
quick  L1     host-passthrough  svm             kvm, /dev/kvm  L1d 64 KiB  4.2 s  pass
quick  L2     host-passthrough  svm             kvm, /dev/kvm  L1d 64 KiB  8.4 s  pass

quick: reached L2 (asked for 2)

pass in 65.4 s
`,
    );
  });

  test('each failure with what was expected, what was seen, and what mends it', () => {
    const text = show([
      ...begin,
      { kind: 'level-done', at: 80, case: 'deep', level: level(2, { probes: [failed] }) },
      caseDone(good),
      caseDone(bad),
      end,
    ]);
    expect(text).toContain('\n  L2 did not come up (virtualization)\n');
    expect(text.match(/^(quick|deep) +L[12] .*/gm)).toHaveLength(4);
    expect(text).toMatch(/^deep +L2 .* none .* fail$/m);
    expect(text).toContain(`
fail deep L2 virtualization
  expected: vmx or svm
  observed: neither
  hint:     use host-passthrough
`);
    expect(text).toMatch(/\nfail in 65\.4 s\n$/);
  });

  test('a level that never came up, and where a deep case stopped', () => {
    const absent = level(3, { accelerator: null, facts: null, bootMs: 0, probes: [{ ...passed, verdict: 'skip' }] });
    const asked = { atLeast: 2, try: 4 };
    const stopped = { level: 3, why: 'hung' as const, message: 'L3: silent\nlast words' };
    const text = show([caseDone(result('deep', [level(1), level(2), absent], { depth: 2, asked, stopped })), end]);
    expect(text).toMatch(/^deep +L3 +host-passthrough +- +- +- +- +skip$/m);
    expect(text).toMatch(/^deep: reached L2 \(asked for 2 to 4\); L3 hung: L3: silent\n {4,}last words$/m);
    expect(text).toMatch(/\npass in/);
  });

  test('flags that could not be read are not told as missing', () => {
    const blind = level(1, { facts: { ...facts, flags: null, virtualization: null } });
    const text = show([
      ...begin,
      { kind: 'level-done', at: 80, case: 'quick', level: blind },
      caseDone(result('quick', [blind])),
      end,
    ]);
    expect(text).toContain('L1 up after 4.2 s, flags not known');
    expect(text).toMatch(/^quick +L1 +host-passthrough +- +kvm/m);
  });

  test('an interrupted run, and one that could not start', () => {
    expect(show([...begin, { ...end, interrupted: true }])).toMatch(/ in 65\.4 s \(interrupted\)\n$/);
    const problem = { code: 'host', message: 'L0: no memory', hint: 'less' };
    expect(show([...begin, { ...end, problem }])).toMatch(/^host: L0: no memory$/m);
  });

  test('notes', () => {
    expect(show([{ kind: 'note', at: 5, text: 'guests are left up' }])).toBe('note: guests are left up\n');
  });

  test('--debug tells each stage with its times', () => {
    const span: RunEvent = {
      kind: 'span',
      at: 4270,
      case: 'quick',
      span: { level: 1, stage: 'boot', startMs: 70, endMs: 4270 },
    };
    expect(show([booting, span])).toBe('');
    const text = show([booting, span], { debug: true });
    expect(text).toMatch(/^ +0\.1 s quick L1 boot begins\n +4\.3 s quick L1 boot took 4\.2 s\n$/);
  });
});

describe('while it waits', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const word: RunEvent = {
    kind: 'waiting',
    at: 10_070,
    case: 'quick',
    level: 1,
    stage: 'boot',
    lastLine: 'Booting\u001b[2J…',
  };
  const span: RunEvent = {
    kind: 'span',
    at: 20_000,
    case: 'quick',
    span: { level: 1, stage: 'boot', startMs: 70, endMs: 20_000 },
  };

  test('a line now and then, with the end of the console; none when it is over', () => {
    const view = open();
    view.tell(...begin, booting);
    view.written();
    vi.advanceTimersByTime(14_000);
    expect(view.written()).toBe('');
    view.tell(word);
    vi.advanceTimersByTime(2000);
    expect(view.written()).toBe('  still waiting: quick L1 boot, 15 s, console: Booting…\n');
    vi.advanceTimersByTime(15_000);
    expect(view.written()).toBe('  still waiting: quick L1 boot, 30 s, console: Booting…\n');
    view.tell(span);
    vi.advanceTimersByTime(60_000);
    expect(view.written()).toBe('');
    view.terminal.close();
  });

  test('on a terminal one line that changes, never wider than it, and gone before anything else', () => {
    const view = open({ isTTY: true, columns: 40, env: { NO_COLOR: '1' } });
    view.tell(...begin, booting);
    view.written();
    vi.advanceTimersByTime(1000);
    expect(view.written()).toBe('… quick L1 boot 1.0 s');
    view.tell({ ...word, lastLine: 'x'.repeat(200) });
    vi.advanceTimersByTime(1000);
    const drawn = view.written();
    expect(drawn.startsWith('\r\u001b[K… quick L1 boot 2.0 s  “xxx')).toBe(true);
    expect(stripVTControlCharacters(drawn).replace('\r', '').length).toBeLessThan(40);
    view.tell({ kind: 'note', at: 5, text: 'a note' });
    expect(view.written()).toBe('\r\u001b[Knote: a note\n');
    vi.advanceTimersByTime(1000);
    view.written();
    view.tell(end);
    expect(view.written().startsWith('\r\u001b[K\ncase ')).toBe(true);
    view.terminal.close();
  });

  test('close stops it, and takes the line away', () => {
    const view = open({ isTTY: true });
    view.tell(booting);
    vi.advanceTimersByTime(1000);
    view.written();
    view.terminal.close();
    expect(view.written()).toBe('\r\u001b[K');
    vi.advanceTimersByTime(60_000);
    expect(view.written()).toBe('');
  });

  test('a terminal in CI gets lines', () => {
    const view = open({ isTTY: true, env: { CI: 'true' } });
    view.tell(booting);
    vi.advanceTimersByTime(5000);
    expect(view.written()).toBe('');
    view.terminal.close();
  });
});

describe('colour', () => {
  const events = [...begin, caseDone(result('quick', [level(1)])), end];
  test.each([
    [false, {}, false],
    [true, {}, true],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
    [false, { FORCE_COLOR: '1' }, true],
    [true, { FORCE_COLOR: '0' }, false],
    [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, true],
  ])('terminal %s, %j: %s', (isTTY, env, colour) => {
    const text = show(events, { isTTY, env: { ...env } });
    expect(text.includes('\u001b[3')).toBe(colour);
    expect(stripVTControlCharacters(text)).toBe(show(events));
  });
});

test('what a guest says can not act on the terminal or fake a line', () => {
  const hostile = 'x\u001b[2J\u001b]0;owned\u0007\u009b31m\r\nquick  L9  host  svm  pass\u2028\u202e\0y';
  const probe: ProbeResult = {
    name: 'model-name',
    verdict: 'fail',
    expected: hostile,
    observed: hostile,
    hint: hostile,
  };
  const each = level(1, {
    cpu: { requested: { mode: hostile }, liveXml: hostile, qemuCpu: hostile },
    facts: { ...facts, modelName: hostile, vendor: hostile, flags: [hostile] },
    probes: [passed, probe],
  });
  const stopped = { level: 2, why: 'died' as const, message: hostile };
  const view = open();
  view.tell(
    {
      kind: 'host-ready',
      at: 1,
      host: { ...host, reason: hostile, kernel: hostile, facts: { ...facts, modelName: hostile } },
    },
    { kind: 'case-started', at: 2, case: 'quick', evidence: 'cases/quick' },
    { kind: 'note', at: 3, text: hostile },
    { kind: 'level-done', at: 4, case: 'quick', level: each },
    caseDone(result('quick', [each], { stopped })),
    { ...end, problem: { code: 'agent', message: hostile, hint: hostile } },
  );
  view.terminal.close();
  const text = view.written();
  expect(text).not.toMatch(/[^\n\P{Cc}]|\p{Cf}|\u2028/u);
  expect(text).not.toContain('owned');
  // only as the second line of a value, far from where a line of ours begins
  expect(text).not.toMatch(/^quick {2}L9/m);
});
