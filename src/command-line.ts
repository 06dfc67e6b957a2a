// What can be typed: commands, options, help. Says which command was meant; runs nothing.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { Environment } from './environment.ts';
import { NestedCheckError } from './errors.ts';
import { MAX_DEPTH } from './scenario/limits.ts';

/** Does what was asked for, and gives the exit status. The command's code is imported only now. */
export type Action = (environment: Environment) => Promise<number>;

/** Where help and version go. */
type Outputs = Pick<Environment, 'stdout' | 'stderr'>;

const REPORT_TYPES = ['json'];

/**
 * Understands `args` (without node and the program). Help and version are printed here and leave nothing to do.
 * Throws NestedCheckError `usage`.
 */
export function parseCommandLine(args: readonly string[], version: string, outputs: Outputs): Action {
  let action: Action = async () => 0;
  const program = describe((chosen) => {
    action = chosen;
  });
  program.version(version, '-V, --version', 'print the version');
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => outputs.stdout.write(text),
        writeErr: (text) => outputs.stderr.write(text),
        outputError: () => {}, // printed by cli.ts like all other errors
      })
      .helpOption('-h, --help', 'print this help');
  }
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // `commander.help`: a command that only groups others was called alone, and its help went to stderr.
    if (error.code === 'commander.help') return async () => (error.exitCode === 0 ? 0 : 2);
    if (error.exitCode === 0) return async () => 0;
    throw usageError(error.message, args, program);
  }
  return action;
}

function usageError(message: string, args: readonly string[], program: Command): NestedCheckError {
  const [, text = message, guess] = /^(?:error: )?(.*?)(?:\n\((Did you mean .*)\))?$/s.exec(message) ?? [];
  const command = program.commands.find((each) => each.name() === args.find((arg) => !arg.startsWith('-')));
  const see = `\`${program.name()}${command === undefined ? '' : ` ${command.name()}`} --help\` says what there is`;
  return new NestedCheckError('usage', text, { hint: guess ?? see });
}

function describe(choose: (action: Action) => void): Command {
  const program = new Command('nested-check')
    .description(
      'Boots KVM guests inside KVM guests through libvirt, looks into each, and says whether nesting works here.',
    )
    .option('--debug', 'say more: stages and times of a run, stacks of internal errors')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      examples(
        ['nested-check run', 'the bundled default scenarios, on the best host there is'],
        ['nested-check run quick --host emulated', 'two levels, on a machine without usable KVM'],
        ['nested-check doctor', 'can this machine nest, and what is missing?'],
      ) +
        '\nExit status: 0 all as expected; 1 some verdict failed; 2 command line, scenario or input file is wrong;\n' +
        '3 this machine could not run it, or some case could not be judged; 130 interrupted.\n',
    );

  program
    .command('run')
    .description('boot the levels of scenarios, look into each, and judge')
    .argument(
      '[scenario...]',
      'file, folder, `-` for standard input, or a bundled name; default: those tagged `default`',
    )
    .option('--host <host>', 'auto, local, emulated or emulated:CPU (a QEMU CPU); default auto')
    .addOption(
      new Option('--depth <levels>', 'exactly so many levels in every scenario').argParser(wholeNumber(1, MAX_DEPTH)),
    )
    .option('--only <text>', 'only cases whose name contains this')
    .addOption(new Option('--jobs <number>', 'cases at the same time; default 1').argParser(wholeNumber(1, 1000)))
    .option('--keep', 'leave the guests up, and say how to reach them')
    .option('--dry-run', "print each level's domain XML and commands, and boot nothing")
    .addOption(
      new Option('--report <type[:path]>', 'write a report as well; repeatable; types: json').argParser(report),
    )
    .option('--out <folder>', "run folder; default: a new one below the user's state directory")
    .addOption(new Option('--timeout <seconds>', 'for each case').argParser(seconds))
    .option('--image <name|path>', "guest image, instead of the scenarios' own")
    .addHelpText(
      'after',
      examples(
        ['nested-check run', 'the default scenarios'],
        ['nested-check run quick --report json:quick.json', 'one of them, and a copy of its report'],
        ['nested-check run my.yaml more/ --dry-run', 'what would be booted'],
        ['nested-check run openstack-on-openstack --depth 2', 'exactly this deep'],
      ),
    )
    .action((scenarios: string[], _, command: Command) =>
      choose(async (environment) =>
        (await import('./commands/run.ts')).run(scenarios, command.optsWithGlobals(), environment),
      ),
    );

  program
    .command('list')
    .description('scenarios, a line each: name, depth, tags, description')
    .argument('[scenario...]', 'as for run; default: all bundled ones')
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['nested-check list', ''], ['nested-check list my.yaml', 'is the file right?']))
    .action((scenarios: string[], options) =>
      choose(async (environment) => (await import('./commands/list.ts')).list(scenarios, options, environment)),
    );

  program
    .command('doctor')
    .description('can this machine nest? every requirement, what was seen, and what mends it')
    .addOption(new Option('--for <purpose>', 'what it is to be fit for').choices(['run', 'test']))
    .option('--fix', 'mend what can be mended, after asking')
    .option('--yes', "don't ask")
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples(['nested-check doctor', ''], ['nested-check doctor --fix', 'say what is missing, ask, install it']),
    )
    .action((options) =>
      choose(async (environment) => (await import('./commands/doctor.ts')).doctor(options, environment)),
    );

  program
    .command('clean')
    .description('find and remove what dead runs left: domains and unfinished run folders')
    .option('--dry-run', 'only say what would be removed')
    .addHelpText('after', examples(['nested-check clean --dry-run', 'is anything left?']))
    .action((options) =>
      choose(async (environment) => (await import('./commands/clean.ts')).clean(options, environment)),
    );

  describeImage(program.command('image').description('guest images; a run builds those it needs by itself'), choose);

  program
    .command('cpu')
    .description('what CPUs look like to the system that runs on them')
    .addHelpText('after', examples(['nested-check cpu show --json', 'facts of this machine']))
    .command('show')
    .description('CPU facts of this machine, of a captured tree, or of a CPUID dump')
    .option('--root <folder>', 'read this tree (proc/cpuinfo, sys/devices/system/cpu, …) instead of this machine')
    .option('--cpuid <file>', 'read the output of `cpuid -1 -r`')
    .option('--json', 'print Facts as JSON')
    .addHelpText(
      'after',
      examples(['nested-check cpu show', ''], ['nested-check cpu show --root captured/ --json', 'another machine']),
    )
    .action((options) =>
      choose(async (environment) => (await import('./commands/cpu-show.ts')).cpuShow(options, environment)),
    );
  return program;
}

function describeImage(image: Command, choose: (action: Action) => void): void {
  image.addHelpText('after', examples(['nested-check image list', ''], ['nested-check image build debian-12', '']));
  image
    .command('build')
    .description('build an image, unless it is there already')
    .argument('[name]', 'bundled recipe, or the folder of one; default: all bundled ones')
    .addHelpText('after', examples(['nested-check image build debian-12', '']))
    .action((name: string | undefined) =>
      choose(async (environment) => (await import('./commands/image.ts')).imageBuild(name, environment)),
    );
  image
    .command('list')
    .description('images and whether they are built')
    .option('--json', 'print JSON, with digests, sizes and package versions')
    .addHelpText('after', examples(['nested-check image list --json', '']))
    .action((options) =>
      choose(async (environment) => (await import('./commands/image.ts')).imageList(options, environment)),
    );
  image
    .command('remove')
    .description('remove built images')
    .argument('[name]', 'name or digest; default: those whose recipe has changed')
    .addHelpText('after', examples(['nested-check image remove debian-12', '']))
    .action((name: string | undefined) =>
      choose(async (environment) => (await import('./commands/image.ts')).imageRemove(name, environment)),
    );
}

/** Command lines and what each is good for, aligned. */
function examples(...lines: readonly (readonly [command: string, what: string])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  return `\nExamples:\n${lines.map(([command, what]) => `  ${command.padEnd(width)}  ${what}`.trimEnd()).join('\n')}\n`;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function seconds(text: string): number {
  const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be a number of seconds greater than 0.');
}

function report(text: string, before: readonly string[] = []): string[] {
  if (REPORT_TYPES.includes(text.replace(/:.*$/s, ''))) return [...before, text];
  throw new InvalidArgumentError(`It must be TYPE or TYPE:PATH with one of these types: ${REPORT_TYPES.join(', ')}.`);
}
