#!/usr/bin/env node
// The program: understands the command line, runs one command, prints errors, sets the exit status.
import { parseCommandLine } from './command-line.ts';
import type { Environment } from './environment.ts';
import { NestedCheckError } from './errors.ts';
import { version } from './version.ts';

const INTERNAL_STATUS = 3;
const CLEAN_HINT = 'Guests and files may remain: `nested-check clean` finds them.';

const debug = process.argv.includes('--debug');
const stop = new AbortController();

// Who reads our output may go away (`| head`), or the terminal may. Guests still have to be taken down and reports
// written, so that is no error: what is printed from then on is lost.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) {
      process.stderr.write(`\nnested-check: left at once\n  hint: ${CLEAN_HINT}\n`);
      process.exit(130);
    }
    process.stderr.write('\nnested-check: stopping, and cleaning up; once more to leave at once\n');
    stop.abort(new NestedCheckError('interrupted', `interrupted by ${name}`));
  });
}

process.on('uncaughtException', (error) => {
  const status = explain(error);
  process.stderr.write(`  hint: ${CLEAN_HINT}\n`);
  process.exit(status);
});

try {
  const { env, stdout, stderr } = process;
  const environment: Environment = { cwd: workingDirectory(), env, stdout, stderr, signal: stop.signal };
  const action = parseCommandLine(process.argv.slice(2), version(), environment);
  process.exitCode = await action(environment);
} catch (error) {
  process.exitCode = explain(error);
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    throw new NestedCheckError('usage', 'the working directory is gone', { hint: 'Change to another one.', cause });
  }
}

/** Prints an error and gives the exit status that it leads to. */
function explain(thrown: unknown): number {
  // What was going on when the signal came may say so in its own way (AbortError): the signal is the reason.
  const known = thrown instanceof NestedCheckError;
  const error = !known && stop.signal.aborted && isAbort(thrown) ? stop.signal.reason : thrown;
  if (error instanceof NestedCheckError) {
    process.stderr.write(`nested-check: ${error.message}\n`);
    if (error.hint !== null) process.stderr.write(`  hint: ${error.hint}\n`);
    if (debug) process.stderr.write(`${stackOf(error)}\n`);
    return error.status;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`nested-check: internal error: ${message}\n`);
  process.stderr.write(
    debug
      ? `${stackOf(error)}\n`
      : '  hint: This is a bug of nested-check. Please report it with what --debug prints.\n',
  );
  return INTERNAL_STATUS;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error === stop.signal.reason);
}

/** The stack of an error and of what caused it. */
function stackOf(error: unknown): string {
  const lines: string[] = [];
  for (
    let each = error;
    each !== undefined && lines.length < 10;
    each = each instanceof Error ? each.cause : undefined
  ) {
    lines.push(each instanceof Error ? (each.stack ?? each.message) : String(each));
  }
  return lines.join('\ncaused by: ');
}
