// Events in, report out: the only way a report comes to be.
import type { RunEvent } from '../run/events.ts';
import { type CaseResult, FORMAT, type Report, worst } from './report.ts';

/** The report before its first event. */
export const EMPTY_REPORT: Report = {
  format: FORMAT,
  tool: { version: '' },
  startedAt: new Date(0).toISOString(),
  durationMs: 0,
  verdict: 'skip',
  interrupted: false,
  host: null,
  cases: [],
  problem: null,
};

/** The report after one more event. */
export function fold(report: Report, event: RunEvent): Report {
  switch (event.kind) {
    case 'run-started':
      return { ...report, tool: { version: event.version }, startedAt: event.startedAt };
    case 'host-ready':
      return { ...report, durationMs: event.at, host: event.host };
    case 'case-started':
      return withCase(report, event.at, unfinished(event.case, event.evidence));
    case 'level-done': {
      const running = report.cases.find((each) => each.id === event.case);
      if (running === undefined) return report;
      return withCase(report, event.at, { ...running, levels: [...running.levels, event.level] });
    }
    case 'case-done':
      return withCase(report, event.at, event.result);
    case 'run-done': {
      const done = { ...report, durationMs: event.at, interrupted: event.interrupted, problem: event.problem };
      return { ...done, verdict: verdictOf(done.cases, done) };
    }
    case 'stage':
    case 'span':
    case 'waiting':
    case 'note':
      return report;
    default:
      return event satisfies never;
  }
}

/** The report with this case in place of the one of the same id, or after the others. */
function withCase(report: Report, at: number, result: CaseResult): Report {
  const others = report.cases.filter((each) => each.id !== result.id);
  const index = report.cases.findIndex((each) => each.id === result.id);
  const cases = others.toSpliced(index === -1 ? others.length : index, 0, result);
  return { ...report, durationMs: at, cases, verdict: verdictOf(cases, report) };
}

/** A case that has begun: what a report says of it when the run is killed before its end. */
function unfinished(id: string, evidence: string): CaseResult {
  return {
    id,
    scenario: id,
    variant: {},
    verdict: 'error',
    attempts: 1,
    durationMs: 0,
    depth: 0,
    asked: { atLeast: 0, try: 0 },
    levels: [],
    stopped: null,
    problem: { code: 'interrupted', message: 'the run ended before this case did', hint: null },
    timeline: [],
    evidence,
  };
}

/** A problem of the run itself means that something was not found out. */
function verdictOf(cases: Report['cases'], { problem }: Pick<Report, 'problem'>): Report['verdict'] {
  return worst([...cases.map((each) => each.verdict), ...(problem === null ? [] : (['error'] as const))]);
}

/** Exit status of a run (see README): 0 all as expected, 1 some verdict failed, 2 wrong input, 3 could not find out, 130 interrupted. */
export function statusOf(report: Report): number {
  if (report.interrupted) return 130;
  if (report.problem?.code === 'usage' || report.problem?.code === 'input') return 2;
  switch (report.verdict) {
    case 'fail':
      return 1;
    case 'error':
      return 3;
    case 'pass':
    case 'skip':
      return 0;
    default:
      return report.verdict satisfies never;
  }
}
