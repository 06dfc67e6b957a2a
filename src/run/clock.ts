// The clock of a run: every event's time, and every stage's span, come from here.
import type { Span } from '../report/report.ts';
import type { RunEvent } from './events.ts';

export interface RunClock {
  /** Whole milliseconds since the run began. */
  now(): number;
  emit(event: RunEvent): void;
  /** Runs one stage of a level (level 0, case null: of the host under test) and emits when it began and what it took. */
  stage<T>(caseId: string | null, level: number, name: string, work: () => Promise<T>): Promise<T>;
  /** Spans of a case so far. */
  timeline(caseId: string | null): Span[];
}

export function startClock(emit: (event: RunEvent) => void): RunClock {
  const origin = performance.now();
  const now = (): number => Math.round(performance.now() - origin);
  const spans: { caseId: string | null; span: Span }[] = [];
  return {
    now,
    emit,
    async stage(caseId, level, stage, work) {
      const startMs = now();
      emit({ kind: 'stage', at: startMs, case: caseId, level, stage });
      try {
        return await work();
      } finally {
        const span = { level, stage, startMs, endMs: now() };
        spans.push({ caseId, span });
        emit({ kind: 'span', at: span.endMs, case: caseId, span });
      }
    },
    timeline: (caseId) => spans.filter((each) => each.caseId === caseId).map((each) => each.span),
  };
}
