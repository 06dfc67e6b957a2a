// nested-check doctor: can this machine nest? Every requirement at once, and what mends those that are not met.
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { execa } from 'execa';
import pRetry, { AbortError } from 'p-retry';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { type Distribution, type Family, installCommands, parseOsRelease } from '../host/distribution.ts';
import type { Finding } from '../host/requirement-checks.ts';
import { type Fix, type Purpose, type Requirement, requirements } from '../host/requirements.ts';

export interface DoctorOptions {
  /** `run` (default): what running and building images needs; `test`: what the tests need as well. */
  readonly for?: 'run' | 'test';
  /** Install missing packages. */
  readonly fix?: boolean;
  /** Don't ask before. */
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** A requirement that was looked at. */
export interface Diagnosis extends Finding {
  readonly name: string;
  readonly description: string;
  readonly neededFor: readonly Purpose[];
  readonly wanted: string;
  /** What mends it, for a shell or in words; null when nothing is wrong. */
  readonly mend: string | null;
  readonly fix: Fix;
}

const STATUS_MISSING = 3;

/**
 * Prints every requirement, and with `fix` installs what is missing where the distribution is Debian or like it.
 * @returns 0 when nothing that is needed is missing, else 3
 */
export async function doctor(options: DoctorOptions, environment: Environment): Promise<number> {
  const distribution = parseOsRelease(await readFile('/etc/os-release', 'utf8').catch(() => ''));
  const privilege = process.getuid?.() === 0 ? [] : ['sudo'];
  const purposes: Purpose[] = ['run', 'image', 'local', ...(options.for === 'test' ? ['test' as const] : [])];
  const wanted = (await requirements(environment)).filter((each) =>
    each.neededFor.some((purpose) => purposes.includes(purpose)),
  );
  let diagnoses = await diagnose(wanted, distribution, privilege);
  // with --json standard output is for the array alone
  const out = options.json ? environment.stderr : environment.stdout;

  const packages = missingPackages(diagnoses, distribution);
  if (options.fix && packages.length > 0) {
    const commands = installCommands(distribution.family as Family, packages, privilege);
    out.write(
      `Missing: ${namesOf(diagnoses, 'missing').join(', ')}. This installs it:\n${commands.map((argv) => `  ${argv.join(' ')}\n`).join('')}`,
    );
    if (distribution.family !== 'debian') {
      out.write(`On ${distribution.name} this is yours to run.\n`);
    } else if (options.yes || (await confirm(environment))) {
      for (const argv of commands) await install(argv, environment, (line) => void out.write(`${line}\n`));
      diagnoses = await diagnose(wanted, distribution, privilege);
    } else {
      out.write('Nothing was installed. Run it yourself, or nested-check doctor --fix --yes\n');
    }
  }

  const isMissing = diagnoses.some((each) => each.state === 'missing');
  if (options.json)
    environment.stdout.write(
      `${JSON.stringify(
        diagnoses.map(({ fix: _, ...each }) => each),
        null,
        2,
      )}\n`,
    );
  else if (options.fix && !isMissing)
    environment.stdout.write(`nested-check doctor: nothing is missing${warningsOf(diagnoses)}\n`);
  else environment.stdout.write(renderDiagnoses(diagnoses, Boolean(environment.stdout.isTTY)));
  return isMissing ? STATUS_MISSING : 0;
}

/** The table, and below it a line for each thing that can be mended. */
export function renderDiagnoses(diagnoses: readonly Diagnosis[], colour: boolean): string {
  const paint = (state: Finding['state'], text: string) =>
    colour
      ? styleText(({ ok: 'green', missing: 'red', warning: 'yellow' } as const)[state], text, { validateStream: false })
      : text;
  const rows = [['', 'SEEN', 'WANTED'], ...diagnoses.map(({ name, seen, wanted }) => [name, seen, wanted])];
  const [first = 0, second = 0] = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map(([name = '', seen = '', wanted = ''], index) => {
    const state = diagnoses[index - 1]?.state;
    const mark = state === undefined ? ' '.repeat(7) : paint(state, state.padEnd(7));
    return `${mark}  ${name.padEnd(first)}  ${seen.padEnd(second)}  ${wanted}`.trimEnd();
  });
  const mends = diagnoses.flatMap(({ name, description, state, mend }) =>
    mend === null ? [] : [`${paint(state, name)} (${description}):`, `  ${mend}`],
  );
  return `${[...lines, ...(mends.length > 0 ? ['', ...mends] : [])].join('\n')}\n`;
}

/** The command, or words, that mend a requirement on a distribution. */
export function mendOf(fix: Fix, distribution: Distribution, privilege: readonly string[]): string {
  if (fix.kind === 'command') return fix.command;
  const packages = distribution.family === null ? undefined : fix.packages[distribution.family];
  if (distribution.family === null || packages === undefined)
    return `no package known for ${distribution.name}; see ${fix.elsewhere}`;
  return (installCommands(distribution.family, packages, privilege).at(-1) ?? []).join(' ');
}

async function diagnose(
  wanted: readonly Requirement[],
  distribution: Distribution,
  privilege: readonly string[],
): Promise<Diagnosis[]> {
  return Promise.all(
    wanted.map(async ({ check, ...requirement }) => {
      const finding = await check();
      return {
        ...requirement,
        ...finding,
        mend: finding.state === 'ok' ? null : mendOf(requirement.fix, distribution, privilege),
      };
    }),
  );
}

/** Packages of this distribution that bring what is missing, sorted. */
export function missingPackages(diagnoses: readonly Diagnosis[], { family }: Distribution): string[] {
  const names = diagnoses.flatMap(({ state, fix }) =>
    state === 'missing' && fix.kind === 'packages' && family !== null ? (fix.packages[family] ?? []) : [],
  );
  return [...new Set(names)].sort();
}

async function confirm(environment: Environment): Promise<boolean> {
  if (!environment.stdout.isTTY || !process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: environment.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question('Go on? [y/N] ', { signal: environment.signal })).trim());
  } finally {
    terminal.close();
  }
}

/** Runs one command of a package manager, again when a download failed. */
async function install(argv: readonly string[], environment: Environment, say: (line: string) => void): Promise<void> {
  const [command = '', ...args] = argv;
  await pRetry(
    async () => {
      const subprocess = execa(command, args, {
        stdin: process.stdin.isTTY ? 'inherit' : 'ignore', // sudo may ask for a password
        env: environment.env,
        all: true,
        reject: false,
        cancelSignal: environment.signal,
      });
      subprocess.all.pipe(environment.stderr, { end: false });
      const result = await subprocess;
      if (!result.failed) return;
      if (environment.signal.aborted)
        throw new AbortError(new NestedCheckError('interrupted', 'installing packages was interrupted'));
      const hint =
        result.code === 'ENOENT'
          ? `${command} is not installed; as root run: ${args.join(' ')}`
          : 'its own words are above';
      const failure = new NestedCheckError('host', `${argv.join(' ')} failed: ${result.shortMessage}`, { hint });
      throw isDownloadTrouble(result.all) ? failure : new AbortError(failure);
    },
    {
      retries: 3,
      minTimeout: 3000,
      signal: environment.signal,
      onFailedAttempt: ({ attemptNumber, retriesLeft }) => {
        if (retriesLeft > 0) say(`a download failed; attempt ${attemptNumber + 1}`);
      },
    },
  );
}

const isDownloadTrouble = (text: string) =>
  /Failed to fetch|Temporary failure resolving|Could not connect|Connection (failed|timed out)/.test(text);
const namesOf = (diagnoses: readonly Diagnosis[], state: Finding['state']) =>
  diagnoses.filter((each) => each.state === state).map(({ name }) => name);
const warningsOf = (diagnoses: readonly Diagnosis[]) => {
  const names = namesOf(diagnoses, 'warning');
  return names.length === 0 ? '' : ` (not as wanted: ${names.join(', ')}; see nested-check doctor)`;
};
