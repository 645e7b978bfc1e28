/**
 * Runs in the computer of computer.ts, on what is built in dist/: node inside.mjs CHECKS-FILE. Prints a line of JSON for
 * each check when it is done. Plain JavaScript, in one process: node is slow to start there.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const root = path.resolve(import.meta.dirname, '../..');
const dist = (name) => import(pathToFileURL(path.join(root, 'dist', name)).href);

const { silentLogger } = await dist('engine/base/log.js');
const { TraceReader } = await dist('engine/trace/reader.js');
const { Machines } = await dist('recording/machines.js');
const { runSession } = await dist('recording/run.js');
const { nextTurn, uninterrupted } = await dist('recording/stops.js');
const { surveyMachine } = await dist('machine/survey.js');
const { shellStatus } = await dist('jobs/model/result.js');
const { Replay } = await dist('index.js');
const { writeCheckpoints } = await dist('recording/checkpoint-writer.js');
const { diversionStarter } = await dist('recording/divert.js');
const { DebugServer, parseAddress } = await dist('debugger/server.js');
const { openSession } = await dist('debugger/open.js');

const options = { machine: 'host', memory: 768 * 2 ** 20, stallLimitSeconds: 3600 };
/** Every trace gets a new vCPU, as on the command line; the transport is kept. */
const machines = new Machines(options, silentLogger, () => {});
const turns = { ...uninterrupted, turn: nextTurn };

const failed = (text) => new Error(text);
const is = (seen, expected, what) => {
  const [a, b] = [seen, expected].map((value) =>
    JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? String(each) : each)),
  );
  if (a !== b) throw failed(`${what}: expected ${b}, found ${a}`);
};

async function replay(trace, verifyTicks = false) {
  const reader = TraceReader.open(trace);
  const printed = [];
  try {
    const result = await runSession({
      trace: reader,
      machines,
      turns,
      log: silentLogger,
      output: (fd, bytes) => fd === 1 && printed.push(Buffer.from(bytes)),
      stallLimit: 3600,
      until: Infinity,
      verifyTicks,
      now: () => performance.now(),
      onTurn: () => {},
    });
    if (result.failure !== null) throw result.failure;
    is(result.machine.kind, 'host', 'machine');
    is(result.outcome, 'end', 'outcome');
    const stdout = path.join(trace, 'expected_stdout');
    if (fs.existsSync(stdout))
      is(Buffer.concat(printed).toString('latin1'), fs.readFileSync(stdout, 'latin1'), 'output');
    const status = path.join(trace, 'expected_status');
    if (fs.existsSync(status))
      is(shellStatus(result.exitStatus), Number(fs.readFileSync(status, 'utf8')), 'status');
    const { exits, fallbacks, counterLostAt } = result.stats;
    return { frames: result.frameTime, seconds: result.seconds, exits, fallbacks, counterLostAt };
  } finally {
    reader.close();
  }
}

/** `auto` takes the host's KVM where the probe passes. */
async function choice({ trace }) {
  const reader = TraceReader.open(trace);
  const automatic = new Machines({ ...options, machine: 'auto' }, silentLogger, () => {});
  try {
    const { facts } = await automatic.forTrace(reader);
    is([facts.kind, facts.hostProblem], ['host', null], 'chosen');
  } finally {
    automatic.close();
    reader.close();
  }
}

async function withReplay(trace, work, more = {}) {
  const replay = await Replay.open(trace, { ...options, checkpoints: [], ...more });
  try {
    return await work(replay);
  } finally {
    await replay.close();
  }
}

const state = (replay) => [replay.frame, replay.registers(), replay.memoryDigest()];

async function travel({ trace }) {
  return withReplay(trace, async (replay) => {
    await replay.runTo('insert');
    const mark = replay.mark();
    const there = state(replay);
    await replay.step(25);
    const further = state(replay);
    if (further[1].rip === there[1].rip) throw failed('25 steps did not move');
    await replay.reverseStep(25);
    is(state(replay), there, 'after 25 steps back');
    is((await replay.toEnd()).kind, 'exited', 'the end');
    const watch = replay.watch('root');
    const stop = await replay.reverseContinue();
    is([stop.kind, stop.address], ['watchpoint', replay.address('root')], 'backwards to a store');
    watch.remove();
    await replay.goBack(mark);
    await replay.step(25);
    is(state(replay), further, 'after 25 steps from a mark');
    const calls = [];
    const point = await replay.breakAt('insert', {
      condition: (here) => calls.push(here.register('rsi')) === 3,
    });
    is((await replay.continue()).kind, 'breakpoint', 'a condition');
    point.remove();
    const moment = await replay.moment();
    const then = state(replay);
    await replay.toStart();
    await replay.goTo(moment);
    is(state(replay), then, `at ${moment}`);
  });
}

async function diversion({ trace }) {
  return withReplay(trace, async (replay) => {
    await replay.runTo('print_tree');
    const before = state(replay);
    const root = replay.readPointer('root');
    const said = await replay.divert(async (d) => {
      const depth = await d.call('tree_depth', root);
      return [depth, await d.call('getpid')];
    });
    is(said[0], 10n, 'tree_depth');
    if (said[1] <= 0n) throw failed(`getpid returned ${said[1]}`);
    is(state(replay), before, 'after the calls');
  });
}

async function checkpoint({ trace }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'checkpoints-'));
  const reader = TraceReader.open(trace);
  const frames = [150, 400, 900];
  try {
    const { written } = await writeCheckpoints({
      trace: reader,
      machines,
      turns,
      log: silentLogger,
      stallLimit: 3600,
      frames,
      folder,
      onTurn: () => {},
    });
    is(
      written.map(({ frameTime }) => frameTime),
      frames,
      'written',
    );
    const states = (checkpoints) =>
      withReplay(
        trace,
        async (replay) => {
          const found = [];
          for (const frame of [950, 420, 160]) {
            await replay.goTo(frame);
            for (const { tid } of replay.tasks()) {
              replay.select(tid);
              found.push(state(replay));
            }
          }
          return found;
        },
        { checkpoints },
      );
    is(await states([folder]), await states([]), 'states after frames 950, 420, 160');
    return { bytes: written.map(({ bytes }) => bytes) };
  } finally {
    reader.close();
    fs.rmSync(folder, { recursive: true });
  }
}

/** gdb's own start-up files and the terminal must not matter. */
const GDB = ['-nx', '-q', '-batch', '-iex', 'set debuginfod enabled off', '-iex', 'set width 0'];

async function gdb({ trace }) {
  const failures = [];
  const server = await DebugServer.listen({
    address: parseAddress('0'),
    open: () =>
      openSession({ folder: trace, options, start: {}, divert: diversionStarter({ ownKill: 'done' }) }),
    onFailure: (error) => failures.push(error),
  });
  const commands = [
    ...[
      `source ${path.join(root, 'dist/debugger/revenant-gdb.py')}`,
      'set confirm off',
      'set remotetimeout 36000',
    ],
    ...[`target extended-remote ${server.endpoint}`, 'break insert if key == 78', 'continue', 'print key'],
    ...['print inserted', 'call tree_depth(root)', 'watch -l inserted', 'reverse-continue', 'print inserted'],
  ];
  const child = spawn('gdb', [...GDB, ...commands.flatMap((command) => ['-ex', command])], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes) => (text += bytes.toString('utf8')));
  await new Promise((resolve) => child.once('close', resolve));
  await server.close();
  if (failures.length > 0) throw failures[0];
  const values = [...text.matchAll(/^\$\d+ = (.*)$/gm)].map(([, value]) => value);
  is(values, ['78', '1', '1', '0'], `gdb's values in:\n${text}\n`);
}

/** Each kind of check: throws, or returns what is worth telling. */
const kinds = {
  async doctor() {
    const { problem, examination } = await surveyMachine('host', {});
    is(problem, null, 'problem');
    is(
      examination.findings.filter((finding) => !finding.ok),
      [],
      'failed checks',
    );
    return {
      checks: examination.findings.length,
      leftOut: examination.leftOut,
      counter: examination.branchCounterProblem,
    };
  },
  replay: ({ trace, verifyTicks }) => replay(trace, verifyTicks),
  choice,
  travel,
  diversion,
  checkpoint,
  gdb,
};

for (const { name, kind, ...options } of JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))) {
  const begun = performance.now();
  const result = await kinds[kind](options).then(
    (told) => ({ ok: true, told }),
    (error) => ({ ok: false, problem: String(error?.stack ?? error) }),
  );
  const seconds = Number(((performance.now() - begun) / 1000).toFixed(2));
  fs.writeSync(1, `${JSON.stringify({ name, ...result, seconds })}\n`);
}
machines.close();
