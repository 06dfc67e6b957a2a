// What happens in a run, as plain data; every output is a function of these.
import type { CaseResult, HostReport, LevelReport, Problem, Span } from '../report/report.ts';

/** `at` is in milliseconds since the run began. */
export type RunEvent =
  | { kind: 'run-started'; at: 0; version: string; startedAt: string; folder: string; cases: readonly string[] }
  | { kind: 'host-ready'; at: number; host: HostReport }
  | { kind: 'case-started'; at: number; case: string; evidence: string }
  /** A stage of a level (or of the host: level 0, case null) begins; it ends with the `span` of the same name. */
  | { kind: 'stage'; at: number; case: string | null; level: number; stage: string }
  | { kind: 'span'; at: number; case: string | null; span: Span }
  /** Still waiting; `lastLine` is the end of the console. */
  | { kind: 'waiting'; at: number; case: string | null; level: number; stage: string; lastLine: string | null }
  | { kind: 'level-done'; at: number; case: string; level: LevelReport }
  | { kind: 'case-done'; at: number; result: CaseResult }
  | { kind: 'note'; at: number; text: string }
  | { kind: 'run-done'; at: number; interrupted: boolean; problem: Problem | null };
