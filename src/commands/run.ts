// nested-check run: scenarios to cases, cases to a report, the report to the exit status.
import { access, chmod, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { type ChosenHost, chooseHost, parseHost } from '../host/choose.ts';
import { ensureImage, type Image } from '../image/cache.ts';
import { EMPTY_REPORT, fold, statusOf } from '../report/fold.ts';
import { writeJson } from '../report/json.ts';
import type { Problem } from '../report/report.ts';
import { openTerminal } from '../report/terminal.ts';
import { startClock } from '../run/clock.ts';
import type { RunEvent } from '../run/events.ts';
import { returnLease, takeLease } from '../run/lease.ts';
import { runCases } from '../run/run.ts';
import { loadScenarios } from '../scenario/load.ts';
import { type Case, plan } from '../scenario/plan.ts';
import { version } from '../version.ts';
import { dryRun } from './dry-run.ts';

export interface RunOptions {
  host?: string;
  depth?: number;
  only?: string;
  jobs?: number;
  keep?: boolean;
  dryRun?: boolean;
  /** TYPE[:PATH], repeatable. */
  report?: string[];
  out?: string;
  /** Seconds per case. */
  timeout?: number;
  image?: string;
  debug?: boolean;
}

/** Runs scenarios; returns the exit status. */
export async function run(scenarios: string[], options: RunOptions, environment: Environment): Promise<number> {
  const request = parseHost(options.host ?? 'auto');
  const extraReports = (options.report ?? []).map((text) => reportPath(text, environment));
  const loaded = await loadScenarios(scenarios, environment);
  const cases = plan(
    loaded.map((each) => each.scenario),
    options,
  );
  if (cases.length === 0) {
    throw new NestedCheckError('usage', `--only: no case's name contains “${options.only}”`, {
      hint: `there are: ${loaded.map((each) => each.scenario.name).join(', ')}`,
    });
  }
  if (options.dryRun) return dryRun(cases, request, environment);

  const folder = await makeRunFolder(options.out, environment);
  const reports = [join(folder, 'run.json'), ...extraReports];
  const terminal = openTerminal(environment, options.debug ?? false);
  let report = EMPTY_REPORT;
  // Outputs are written one after the other, and each time as the report is then.
  let writing: Promise<void> = Promise.resolve();
  const write = (): void => {
    writing = writing.then(async () => {
      for (const path of reports) await writeJson(path, report);
    });
    writing.catch(() => {}); // awaited, and so reported, at the end
  };
  const clock = startClock((event: RunEvent) => {
    report = fold(report, event);
    terminal.handle(event, report);
    if (
      event.kind === 'run-started' ||
      event.kind === 'host-ready' ||
      event.kind === 'level-done' ||
      event.kind === 'case-done' ||
      event.kind === 'run-done'
    )
      write();
  });
  try {
    let problem: Problem | null = null;
    let complete = false;
    const startedAt = new Date().toISOString();
    clock.emit({
      kind: 'run-started',
      at: 0,
      version: version(),
      startedAt,
      folder,
      cases: cases.map((each) => each.id),
    });
    await writing; // a report that can't be written is told before anything boots
    try {
      const { image, chosen } = await prepare(cases, request, environment, (line) => terminal.line(line));
      const lease = await takeLease(folder);
      const { jobs = 1, keep = false } = options;
      try {
        const input = { cases, chosen, image, jobs, keep, folder, lease, environment, clock };
        complete = await runCases(input);
      } finally {
        await returnLease(lease);
      }
    } catch (error) {
      if (!(error instanceof NestedCheckError)) throw error;
      problem = { code: error.code, message: error.message, hint: error.hint };
    }
    clock.emit({ kind: 'run-done', at: clock.now(), interrupted: environment.signal.aborted && !complete, problem });
    await writing;
  } finally {
    terminal.close();
  }
  if (report.problem?.hint) environment.stderr.write(`hint: ${report.problem.hint}\n`);
  environment.stdout.write(`report: ${reports.join(', ')}\n`);
  return statusOf(report);
}

async function prepare(
  cases: readonly Case[],
  request: ReturnType<typeof parseHost>,
  environment: Environment,
  onProgress: (line: string) => void,
): Promise<{ image: Image; chosen: ChosenHost }> {
  const names = [...new Set(cases.map((each) => each.image))];
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new NestedCheckError('input', `one run has one image, but these scenarios want ${names.join(' and ')}`, {
      hint: '--image NAME for all of them, or a run for each',
    });
  }
  const image = await ensureImage(name, { environment, onProgress });
  return { image, chosen: await chooseHost(request, image, environment) };
}

/** Path of --report TYPE[:PATH], from the working directory. */
function reportPath(text: string, { cwd }: Environment): string {
  const [type, ...rest] = text.split(':');
  if (type !== 'json') {
    throw new NestedCheckError('usage', `--report: unknown type “${type}”`, { hint: 'json:PATH is what there is' });
  }
  return resolve(cwd, rest.join(':') || 'run.json');
}

async function makeRunFolder(out: string | undefined, environment: Environment): Promise<string> {
  const stamp = new Date().toISOString().replace(/[:.]/g, '-');
  const folder =
    out === undefined ? join(runsFolder(environment), `${stamp}-${process.pid}`) : resolve(environment.cwd, out);
  if (await exists(join(folder, 'run.json'))) {
    throw new NestedCheckError('usage', `--out: ${folder} already holds a run`, { hint: 'name a new folder' });
  }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700); // it may have been there
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new NestedCheckError(out === undefined ? 'host' : 'usage', `the run folder can't be made: ${words}`, {
      hint: '--out DIR',
      cause,
    });
  }
  return folder;
}

/** Where run folders are when --out names none: $XDG_STATE_HOME/nested-check/runs. */
export function runsFolder({ env }: Environment): string {
  return join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state'), 'nested-check', 'runs');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
