// Events in, report out, and the exit status that follows.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_REPORT, fold, statusOf } from '../../src/report/fold.ts';
import {
  type CaseResult,
  type HostReport,
  type LevelReport,
  Report,
  type Verdict,
  worst,
} from '../../src/report/report.ts';
import type { RunEvent } from '../../src/run/events.ts';

const caseResult = (id: string, verdict: Verdict): CaseResult => ({
  id,
  scenario: id,
  variant: {},
  verdict,
  attempts: 1,
  durationMs: 10,
  depth: 0,
  asked: { atLeast: 1, try: 1 },
  levels: [],
  stopped: null,
  problem: null,
  timeline: [{ level: 1, stage: 'boot', startMs: 1, endMs: 2 }],
  evidence: `cases/${id}`,
});
const host: HostReport = {
  kind: 'emulated',
  reason: 'asked for',
  facts: null,
  kernel: '6.1.0',
  qemu: null,
  libvirt: null,
  kvm: { usable: true, module: 'kvm_amd', parameters: { nested: '1' } },
};
const startedAt = '2026-01-02T03:04:05.678Z';
const started: RunEvent = { kind: 'run-started', at: 0, version: '1.2.3', startedAt, folder: '/r', cases: ['a', 'b'] };
const begun = (id: string, at = 60): RunEvent => ({ kind: 'case-started', at, case: id, evidence: `cases/${id}` });
const done = (id: string, verdict: Verdict, at = 100): RunEvent => ({
  kind: 'case-done',
  at,
  result: caseResult(id, verdict),
});
const ended: RunEvent = { kind: 'run-done', at: 900, interrupted: false, problem: null };
const failure = { code: 'host', message: 'L0: no', hint: null };

/** The report after these events; it satisfies the schema at each step. */
function report(...events: RunEvent[]): Report {
  return events.reduce((before, event) => {
    const after = fold(before, event);
    expect(Report.parse(after)).toEqual(after);
    return after;
  }, Report.parse(EMPTY_REPORT));
}

test('a run from its beginning to its end', () => {
  const events: RunEvent[] = [
    started,
    { kind: 'stage', at: 1, case: null, level: 0, stage: 'host' },
    { kind: 'span', at: 50, case: null, span: { level: 0, stage: 'host', startMs: 1, endMs: 50 } },
    { kind: 'host-ready', at: 60, host },
    begun('a'),
    { kind: 'waiting', at: 70, case: 'a', level: 1, stage: 'boot', lastLine: 'x' },
    done('a', 'pass', 200),
    { kind: 'note', at: 210, text: 'a word' },
    done('b', 'skip', 300),
    ended,
  ];
  expect(report(...events)).toEqual({
    format: 'nested-check.run/1',
    tool: { version: '1.2.3' },
    startedAt,
    durationMs: 900,
    verdict: 'pass',
    interrupted: false,
    host,
    cases: [caseResult('a', 'pass'), caseResult('b', 'skip')],
    problem: null,
  });
});

test('after each case the report says how it stands', () => {
  const verdicts = [started, done('a', 'skip'), done('b', 'pass'), done('c', 'error'), done('d', 'fail')].map(
    (_, index, events) => report(...events.slice(0, index + 1)).verdict,
  );
  expect(verdicts).toEqual(['skip', 'skip', 'pass', 'error', 'fail']);
});

describe('a run that is killed', () => {
  const level: LevelReport = {
    level: 1,
    accelerator: 'kvm',
    machine: null,
    vcpus: 1,
    memoryMiB: 320,
    bootMs: 5,
    cpu: { requested: { mode: 'host-model' }, liveXml: null, qemuCpu: null },
    facts: null,
    kvm: null,
    versions: { kernel: null, qemu: null, libvirt: null },
    probes: [{ name: 'boots', verdict: 'pass', expected: null, observed: null, hint: null }],
  };
  const levelDone: RunEvent = { kind: 'level-done', at: 80, case: 'b', level };

  test('leaves the levels that it had, as an error', () => {
    const left = report(started, begun('a'), done('a', 'pass'), begun('b'), levelDone);
    expect(left.verdict).toBe('error');
    expect(left.cases).toMatchObject([
      { id: 'a', verdict: 'pass' },
      { id: 'b', verdict: 'error', levels: [level], problem: { code: 'interrupted' }, evidence: 'cases/b' },
    ]);
  });

  test('a case takes the place of what was known of it before, and cases keep their order', () => {
    const both = report(started, begun('a'), begun('b'), levelDone, done('b', 'pass'), done('a', 'pass'));
    expect(both.cases).toEqual([caseResult('a', 'pass'), caseResult('b', 'pass')]);
    expect(both.verdict).toBe('pass');
  });
});

test('folding changes no report that was handed out', () => {
  const before = Object.freeze(report(started, done('a', 'pass')));
  Object.freeze(before.cases);
  fold(before, done('b', 'fail'));
  fold(before, ended);
  expect(before.cases).toHaveLength(1);
});

describe('exit status', () => {
  test.each([
    [['pass', 'pass'], 0],
    [['pass', 'skip'], 0],
    [['skip'], 0],
    [['pass', 'error'], 3],
    [['skip', 'error'], 3],
    [['error', 'fail', 'pass'], 1],
    [['fail', 'skip'], 1],
  ] as const)('%j: %i', (verdicts, status) => {
    expect(statusOf(report(started, ...verdicts.map((verdict, index) => done(`${index}`, verdict)), ended))).toBe(
      status,
    );
  });

  test('interrupted is 130, whatever was found', () => {
    for (const verdict of ['pass', 'fail', 'error'] as const) {
      const result = report(started, done('a', verdict), { ...ended, interrupted: true });
      expect(result).toMatchObject({ interrupted: true, verdict });
      expect(statusOf(result)).toBe(130);
    }
  });

  test('a run that could not start is 3: something was not found out', () => {
    const result = report(started, { ...ended, problem: failure });
    expect(result).toMatchObject({ verdict: 'error', problem: failure, cases: [], host: null });
    expect(statusOf(result)).toBe(3);
  });

  test.each(['usage', 'input'])('wrong input (%s) is 2, also when it is found out late', (code) => {
    expect(statusOf(report(started, { ...ended, problem: { ...failure, code } }))).toBe(2);
  });

  test('a problem of the run takes back no failure', () => {
    expect(statusOf(report(started, done('a', 'fail'), { ...ended, problem: failure }))).toBe(1);
    expect(statusOf(report(started, done('a', 'pass'), { ...ended, problem: failure }))).toBe(3);
  });
});

test('the worst verdict: fail > error > pass > skip, in any order', () => {
  const order = ['fail', 'error', 'pass', 'skip'] as const;
  expect(worst([])).toBe('skip');
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...order), { minLength: 1 }), (verdicts) => {
      expect(worst(verdicts)).toBe(order.find((each) => verdicts.includes(each)));
    }),
  );
});
