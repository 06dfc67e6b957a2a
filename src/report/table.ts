// The table at the end of a run: one line per level, then each failure with expected, observed and hint.
import { formatCaches } from '../cpu/format.ts';
import type { Paint } from './paint.ts';
import { printable } from './printable.ts';
import type { CaseResult, LevelReport, Report, Verdict } from './report.ts';
import { worst } from './report.ts';

const COLOUR = { pass: 'green', fail: 'red', error: 'yellow', skip: 'dim' } as const;

/** The end of a run as text, with a final line end. */
export function summary(report: Report, paint: Paint): string {
  const head = ['case', 'level', 'cpu', 'virtualization', 'KVM', 'caches', 'boot', 'verdict'];
  const rows = report.cases.flatMap((each) => each.levels.map((level) => row(each, level)));
  const lines = ['', ...table(head, rows, report, paint)];
  for (const each of report.cases) lines.push(...troubles(each, paint));
  for (const each of report.cases) lines.push(reached(each));
  if (report.problem !== null) lines.push(`${paint('red', report.problem.code)}: ${safe(report.problem.message)}`);
  lines.push(
    '',
    `${paint(COLOUR[report.verdict], report.verdict)} in ${(report.durationMs / 1000).toFixed(1)} s${report.interrupted ? ' (interrupted)' : ''}`,
    '',
  );
  return lines.join('\n');
}

function row(each: CaseResult, level: LevelReport): string[] {
  const { facts } = level;
  return [
    each.id,
    `L${level.level}`,
    printable(String(level.cpu.requested['mode'] ?? '')),
    facts?.flags == null ? '-' : (facts.virtualization ?? 'none'),
    kvm(level),
    facts === null ? '-' : printable(formatCaches(facts)),
    level.bootMs === 0 ? '-' : `${(level.bootMs / 1000).toFixed(1)} s`,
    verdictOf(level),
  ];
}

function verdictOf(level: LevelReport): Verdict {
  return worst(level.probes.map((probe) => probe.verdict));
}

/** Whether this level runs with KVM, and whether it could give KVM to the next. */
function kvm(level: LevelReport): string {
  if (level.facts === null) return '-';
  return `${level.accelerator ?? '?'}${level.facts.kvmDevice === true ? ', /dev/kvm' : ''}`;
}

function table(head: string[], rows: string[][], report: Report, paint: Paint): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const verdicts = report.cases.flatMap((each) => each.levels.map(verdictOf));
  return [
    paint('bold', line(head)),
    ...rows.map((cells, index) => paint(COLOUR[verdicts[index] ?? 'skip'], line(cells))),
  ];
}

function troubles(each: CaseResult, paint: Paint): string[] {
  return each.levels.flatMap((level) =>
    level.probes
      .filter((probe) => probe.verdict === 'fail' || probe.verdict === 'error')
      .flatMap((probe) => [
        '',
        `${paint(COLOUR[probe.verdict], probe.verdict)} ${each.id} L${level.level} ${probe.name}`,
        `  expected: ${safe(probe.expected ?? 'nothing in particular')}`,
        `  observed: ${safe(probe.observed ?? 'nothing')}`,
        ...(probe.hint === null ? [] : [`  hint:     ${safe(probe.hint)}`]),
      ]),
  );
}

function reached(each: CaseResult): string {
  const asked =
    each.asked.try > each.asked.atLeast ? `${each.asked.atLeast} to ${each.asked.try}` : `${each.asked.try}`;
  const stopped =
    each.stopped === null ? '' : `; L${each.stopped.level} ${each.stopped.why}: ${safe(each.stopped.message)}`;
  return `\n${each.id}: reached L${each.depth} (asked for ${asked})${stopped}`;
}

/** Text from a machine, its lines indented below the first. */
function safe(text: string): string {
  return text
    .trim()
    .split('\n')
    .map((line) => printable(line))
    .join('\n            ');
}
