// Events in, report out: the only way a report comes to be.
import type { RunEvent } from '../run/events.ts';
import { FORMAT, type Report, worst } from './report.ts';

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
    case 'case-done': {
      const cases = [...report.cases, event.result];
      return { ...report, durationMs: event.at, cases, verdict: verdictOf(cases, report) };
    }
    case 'run-done': {
      const done = { ...report, durationMs: event.at, interrupted: event.interrupted, problem: event.problem };
      return { ...done, verdict: verdictOf(done.cases, done) };
    }
    case 'case-started':
    case 'stage':
    case 'span':
    case 'waiting':
    case 'level-done':
    case 'note':
      return report;
    default:
      return event satisfies never;
  }
}

/** A problem of the run itself means that something was not found out. */
function verdictOf(cases: Report['cases'], { problem }: Pick<Report, 'problem'>): Report['verdict'] {
  return worst([...cases.map((each) => each.verdict), ...(problem === null ? [] : (['error'] as const))]);
}

/** Exit status of a run (see cli.ts): 0 all as expected, 1 some verdict failed, 3 could not find out, 130 interrupted. */
export function statusOf(report: Report): number {
  if (report.interrupted) return 130;
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
