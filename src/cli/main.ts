import { Command, CommanderError, Option } from 'commander';
import { ExitCode } from '../engine/base/errors.js';
import { packageVersion } from '../engine/base/native-folder.js';
import { requireProcesses } from '../engine/base/process-room.js';
import { requirePlace, type Place } from '../recording/place.js';
import { MACHINE_CHOICES } from '../machine/kinds.js';
import { parseCount, parseSeconds, parseSize } from './options/args.js';
import { addCi } from './options/ci.js';
import { checkpointFiles, checkpointOptions } from './options/checkpoint.js';
import { callOptions, diversionOptions } from './options/call.js';
import { exitCodesText, helpWidth } from './options/exit-codes.js';
import { reportFailure } from './failure.js';
import { withMachineParts, type ImportModule } from './machine-parts.js';
import type { CallOptions } from './commands/call.js';
import type { CheckpointCommandOptions } from './commands/checkpoint.js';
import type { DoctorCommandOptions } from './commands/doctor.js';
import type { DumpOptions } from './commands/dump.js';
import type { GdbOptions } from './commands/gdb.js';
import type { InfoOptions } from './commands/info.js';
import type { MachineCommandOptions } from './commands/machine.js';
import type { ReplayAllOptions } from './commands/replay-all.js';
import type { ServeOptions } from './commands/serve.js';
import { createLogger } from './log.js';
import type { CommandIo } from './output.js';
import { processIo } from './output.js';
import { addManual } from './manual/command.js';
import { type CommandFacts, describe } from './manual/describe.js';
import { namesTrace, traceArgument } from './trace-argument.js';
import { memoryOption, stallLimitOption, ticksOption, traceOptions } from './options/trace.js';

interface Global {
  verbose: boolean;
  importModule: ImportModule;
}

/** What a command action returns: an exit code, or nothing for 0. */
type Action = (io: CommandIo, global: Global) => Promise<number | undefined> | number | undefined;

/**
 * Builds the command line. Each action imports its command when it runs: reading `--help` must not
 * load the engine, nor `dump` a machine.
 */
function commandLine(io: CommandIo, perform: (action: Action) => Promise<void>): Command {
  const program = new Command('revenant')
    .description("Replays rr traces on a machine that has the recording machine's XCR0 and CPUID.")
    .version(packageVersion(), '-V, --version', 'print the version')
    .option('--verbose', 'log actions, and print stack traces of failures')
    .addHelpText('after', () => exitCodesText(helpWidth(io.columns(1))))
    .showSuggestionAfterError()
    .configureHelp({
      minWidthToWrap: 20,
      // Every command has options.
      subcommandTerm: (command) =>
        `${command.name()} ${command.usage().replace(/\[options\] ?/, '')}`.trimEnd(),
    })
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      getOutHelpWidth: () => helpWidth(io.columns(1)),
      getErrHelpWidth: () => helpWidth(io.columns(2)),
    })
    .exitOverride();
  addReplay(program, io, perform);
  addTraceCommands(program, io, perform);
  addDebugCommands(program, io, perform);
  addMachineCommands(program, io, perform);
  addCi(program, io, perform, packageVersion());
  addManual(program, io);
  return program;
}

const cpuOption = (): Option =>
  new Option('--cpu <model>', "processor of the emulated machine, as QEMU's -cpu names it");

const machineOption = (): Option =>
  new Option('--machine <kind>', 'where to run')
    .choices(MACHINE_CHOICES)
    .default(
      'auto',
      'the host if its KVM has what the trace needs, else a process, else the emulated machine',
    );

const completionOption = (): Option =>
  new Option(
    '--no-completion',
    'refuse traces whose instructions the processor lacks (AVX-512), as far as known',
  );

const TRACE = "trace folder, or a name as rr uses it; default: rr's latest trace";

/** See `traceArgument`. */
function meant(named: string | undefined, io: CommandIo, { quiet }: { quiet?: boolean } = {}): string {
  const note = (text: string): void => (quiet ? undefined : io.err(`revenant: ${text}\n`));
  return traceArgument(named, { environment: process.env, note });
}

const gotoPlace = (text: string): Place => requirePlace(text, '--goto');

type Perform = (action: Action) => Promise<void>;

function addReplay(program: Command, io: CommandIo, perform: Perform): void {
  traceOptions(
    checkpointFiles(program.command('replay'))
      .description("replay a trace and print the program's output")
      .argument('[trace...]', `${TRACE}; with --all, folders to look for traces in`)
      .addOption(machineOption())
      .addOption(cpuOption())
      .addOption(completionOption())
      .addOption(memoryOption())
      .addOption(
        new Option('--goto <place>', 'stop after a frame or at SYMBOL:HIT, and print the position').argParser(
          gotoPlace,
        ),
      )
      .addOption(stallLimitOption())
      .option('--verify-ticks', "count every tick exactly (slow), and compare each frame's")
      .addOption(ticksOption())
      .option('--all', 'replay every trace below the folders and compare with the expected results')
      .option(
        '--only <pattern>',
        'with --all: traces whose path below the folder contains this (or matches, with *)',
      ),
  )
    .option('--json', "result as JSON on standard output, with the program's output in it")
    .option('--quiet', 'no progress and no summary')
    .action((traces: string[], options: ReplayAllOptions & { all?: boolean }) =>
      perform(async (_io, global) => {
        const log = await createLogger(io, global.verbose, process.env.REVENANT_LOG);
        if (options.all) {
          if (traces.length === 0) program.error("error: '--all' needs folders to look for traces in");
          const { replayAllCommand } = await import('./commands/replay-all.js');
          return replayAllCommand(traces, options, io, log);
        }
        if (traces.length > 1) program.error("error: replay takes one trace; more only with '--all'");
        if (options.only) program.error("error: '--only' goes with '--all'");
        if (options.goto && options.goto.kind !== 'frame') {
          const { replayToPlace } = await import('./commands/replay-to.js');
          return replayToPlace(meant(traces[0], io, options), options.goto, options, io, log);
        }
        const { replayCommand } = await import('./commands/replay.js');
        return replayCommand(meant(traces[0], io, options), options, io, log);
      }),
    );
}

/** Options of commands that debug a recording. */
function debugOptions(command: Command): Command {
  return traceOptions(
    checkpointFiles(command)
      .addOption(machineOption())
      .addOption(cpuOption())
      .addOption(completionOption())
      .addOption(memoryOption())
      .addOption(stallLimitOption())
      .addOption(
        new Option('--goto <place>', 'start at a place: a frame, SYMBOL:HIT, a moment').argParser(gotoPlace),
      )
      .addOption(
        new Option('--task <tid>', 'the task to debug; without --goto: start where it starts').argParser(
          parseCount,
        ),
      )
      .addOption(
        new Option(
          '--on-process <process>',
          'the process to debug, by number or command name; without --goto: start where its program starts',
        ).conflicts('task'),
      )
      .addOption(
        new Option(
          '--at-end',
          'start right before the last process ends; with a task or process: before that one ends',
        ).conflicts(['goto', 'atCrash']),
      )
      .addOption(new Option('--at-crash', 'start at the first signal that ends a process').conflicts('goto'))
      .addOption(
        new Option(
          '--from <checkpoint>',
          'start from a checkpoint file, such as an artifact of `ci`',
        ).conflicts(['goto', 'atEnd', 'atCrash']),
      )
      .option('--as-rr', "for scripts and front ends written for rr: rr's prompt and exit of a process"),
  );
}

function addDebugCommands(program: Command, io: CommandIo, perform: Perform): void {
  diversionOptions(debugOptions(program.command('gdb')))
    .description('debug a recording in gdb, forwards and backwards')
    .argument('[trace]', TRACE)
    .argument('[gdb-args...]', 'after --: arguments of gdb')
    .option('--gdb <command>', 'the gdb to run', 'gdb')
    .option('--quiet', 'print only failures')
    .action((trace: string | undefined, gdbArguments: string[], options: GdbOptions) =>
      perform(async (_io, global) => {
        const log = await createLogger(io, global.verbose, process.env.REVENANT_LOG);
        const { gdbCommand } = await import('./commands/gdb.js');
        // There may be only arguments after --.
        const isGdbs = Boolean(trace?.startsWith('-'));
        const more = isGdbs ? [trace!, ...gdbArguments] : gdbArguments;
        return gdbCommand(meant(isGdbs ? undefined : trace, io, options), more, options, io, log);
      }),
    );
  diversionOptions(debugOptions(program.command('serve')))
    .description('let debuggers and editors connect to a recording by the gdb remote protocol')
    .argument('[trace]', TRACE)
    .option('--listen <address>', 'PORT, HOST:PORT or the path of a Unix socket; port 0: any', '127.0.0.1:0')
    .option(
      '--allow-remote',
      'listen on an address that other machines can reach: clients can read the whole recording',
    )
    .option('--once', 'exit after the first client disconnects')
    .action((trace: string | undefined, options: ServeOptions) =>
      perform(async (_io, global) => {
        const log = await createLogger(io, global.verbose, process.env.REVENANT_LOG);
        const { serveCommand } = await import('./commands/serve.js');
        return serveCommand(meant(trace, io, options), options, io, log);
      }),
    );
  addCall(program, io, perform);
  checkpointOptions(program.command('checkpoint'))
    .description('write checkpoint files, from which later replays and debuggers can start')
    .argument('[trace]', TRACE)
    .addOption(machineOption())
    .addOption(cpuOption())
    .addOption(completionOption())
    .action((trace: string | undefined, options: CheckpointCommandOptions) =>
      perform(async (_io, global) => {
        const log = await createLogger(io, global.verbose, process.env.REVENANT_LOG);
        const { checkpointCommand } = await import('./commands/checkpoint.js');
        return checkpointCommand(meant(trace, io, options), options, io, log);
      }),
    );
}

function addCall(program: Command, io: CommandIo, perform: Perform): void {
  traceOptions(
    checkpointFiles(callOptions(program.command('call')))
      .description(
        'evaluate expressions and call functions of the recorded program at places of the replay, in a temporary live copy',
      )
      .usage('[options] [trace] <expression...>')
      .argument(
        '<arguments...>',
        `${TRACE}; then expressions such as 'print_tree(root, 0)', '*root', 'a[i].name'`,
      )
      .addOption(machineOption())
      .addOption(cpuOption())
      .addOption(completionOption())
      .addOption(memoryOption())
      .addOption(stallLimitOption()),
  ).action((words: string[], options: CallOptions) =>
    perform(async (_io, global) => {
      const log = await createLogger(io, global.verbose, process.env.REVENANT_LOG);
      const named = namesTrace(words[0], process.env);
      if (named && words.length === 1) program.error("error: missing required argument 'expression'");
      const { callCommand } = await import('./commands/call.js');
      const trace = meant(named ? words[0] : undefined, io, options);
      return callCommand(trace, named ? words.slice(1) : words, options, io, log);
    }),
  );
}

function addTraceCommands(program: Command, io: CommandIo, perform: Perform): void {
  program
    .command('info')
    .description('print what was recorded, where, on which processor, and which machines can replay it')
    .argument('[trace]', TRACE)
    .option('--json', 'as JSON')
    .action((trace: string | undefined, options: Omit<InfoOptions, 'trace'>) =>
      perform(async () => {
        const { infoCommand } = await import('./commands/info.js');
        return infoCommand({ trace: meant(trace, io), ...options }, io);
      }),
    );
  program
    .command('dump')
    .description('print frames')
    .argument('[trace]', TRACE)
    .argument('[range]', 'frames to print: FROM, FROM- or FROM-TO')
    .option('--json', 'one JSON object per line')
    .addOption(new Option('--task <tid>', 'only frames of this task').argParser(parseCount))
    .option('--event <kind>', 'only frames of this kind, or of this system call')
    .option('--registers', 'all registers below each frame')
    .action(
      (
        first: string | undefined,
        second: string | undefined,
        options: Omit<DumpOptions, 'trace' | 'range'>,
      ) =>
        perform(async () => {
          const { dumpCommand } = await import('./commands/dump.js');
          const range = second === undefined && /^\d+(-\d*)?$/.test(first ?? '') ? first : undefined;
          const named = range === undefined || namesTrace(range, process.env);
          const trace = meant(named ? first : undefined, io);
          return dumpCommand({ trace, range: named ? second : range, ...options }, io);
        }),
    );
}

function addMachineCommands(program: Command, io: CommandIo, perform: Perform): void {
  program
    .command('doctor')
    .description('what the machines here support, and which can replay a trace')
    .argument('[trace]', 'trace folder')
    .addOption(cpuOption())
    .addOption(completionOption())
    .option('--json', 'as JSON')
    .action((trace: string | undefined, options: Omit<DoctorCommandOptions, 'trace'>) =>
      perform(async () => {
        const { doctorCommand } = await import('./commands/doctor.js');
        return doctorCommand({ trace: trace === undefined ? trace : meant(trace, io), ...options }, io);
      }),
    );
  program
    .command('setup')
    .description('install what the emulated machine needs: QEMU (by apt)')
    .action(() =>
      perform(async (_io, { importModule }) =>
        (await import('./commands/setup.js')).setupCommand(io, importModule),
      ),
    );
  const machine = program.command('machine').description('the emulated machine that is kept between replays');
  for (const [verb, text] of [
    ['start', 'start it, unless it is running'],
    ['status', 'print running machines'],
    ['stop', 'stop it, unless it is in use'],
  ] as const) {
    const command = machine
      .command(verb)
      .description(text)
      .addOption(cpuOption())
      .addOption(new Option('--memory <size>', 'its guest memory').argParser(parseSize))
      .addOption(new Option('--idle <seconds>', 'exit after this long without use').argParser(parseSeconds))
      .option('--json', 'as JSON')
      .action((options: Omit<MachineCommandOptions, 'verb'>) =>
        perform(async () => (await import('./commands/machine.js')).machineCommand({ verb, ...options }, io)),
      );
    if (verb === 'stop') command.option('--force', 'also machines in use');
  }
}

/** The whole command line, for the manual page. */
export function commandLineFacts(): { program: CommandFacts; version: string } {
  const program = commandLine(processIo, () => Promise.resolve());
  return { program: describe(program), version: packageVersion() };
}

/** Threads of libuv's pool, for files and sockets: Node aborts if it cannot create them. */
const THREADS_OF_NODE = 4;

/**
 * Runs the command line.
 * @param argv arguments after the program's name
 * @returns the exit code; all output is written when it resolves
 */
export async function main(
  argv: string[],
  io: CommandIo = processIo,
  importModule: ImportModule = (url) => import(url),
): Promise<number> {
  let exitCode: number = ExitCode.ok;
  const program = commandLine(io, async (action) => {
    requireProcesses(THREADS_OF_NODE, 'Revenant');
    const run = (): ReturnType<Action> =>
      action(io, { ...program.opts<{ verbose: boolean }>(), importModule });
    exitCode = (await withMachineParts(run, io, importModule)) ?? ExitCode.ok;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return await reportFailure(io, error, {
      json: argv.includes('--json'),
      verbose: argv.includes('--verbose'),
    });
  }
}

/** Ends the process after an uncaught exception, in a timer or a socket's listener. */
export async function endWith(thrown: unknown): Promise<never> {
  const verbose = process.argv.includes('--verbose');
  process.exit(await reportFailure(processIo, thrown, { json: false, verbose }));
}
