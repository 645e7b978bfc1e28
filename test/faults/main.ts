/** `npm run faults`: see scripts/faults.mjs, which runs this in separate namespaces. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { commands, type Tried } from './commands.js';
import { type Fault, faults, QUICK } from './faults.js';
import { type Cell, endText, leftFiles, messageOf, run } from './run.js';
import { interrupted, killedMachines, restartedRedis } from './moments.js';

const PORT = 16379;

interface Options {
  quick: boolean;
  only: string[];
  moments: number;
}

function parse(args: string[]): Options {
  const options: Options = { quick: false, only: [], moments: 20 };
  for (let at = 0; at < args.length; at++) {
    if (args[at] === '--quick') Object.assign(options, { quick: true, moments: 2 });
    else if (args[at] === '--only') options.only.push(args[++at]);
    else if (args[at] === '--moments') options.moments = Number(args[++at]);
    else throw new Error(`faults: unknown option ${args[at]}`);
  }
  return options;
}

function print({ fault, command, ended, problems }: Cell): void {
  const wrong = problems.length > 0 ? `  WRONG: ${problems.join('; ')}` : '';
  const row = `${fault.padEnd(26)} ${command.padEnd(8)} ${endText(ended).padEnd(8)} ${messageOf(ended)}${wrong}`;
  process.stdout.write(`${row}\n`);
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2).filter((word) => !word.endsWith('main.ts')));
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'faults-'));
  // Others put sockets there, too.
  fs.chmodSync(folder, 0o1777);
  process.env.XDG_CACHE_HOME = path.join(folder, 'cache');
  process.env.TMPDIR = folder;
  const redis = spawn('redis-server', ['--port', String(PORT), '--dir', folder, '--save', ''], {
    stdio: 'ignore',
  });
  redis.on('error', () =>
    process.stdout.write('redis-server is not installed: worker and queue are not tried\n'),
  );
  const url = `redis://127.0.0.1:${PORT}`;
  const wanted = (fault: string, command: string): boolean =>
    options.only.length === 0 || options.only.some((text) => `${fault} ${command}`.includes(text));
  const cells: Cell[] = [];
  const note = (cell: Cell): void => {
    cells.push(cell);
    print(cell);
  };
  try {
    const tried = commands(url, folder).filter(({ name }) => name !== 'worker' || redis.pid !== undefined);
    for (const fault of faults) {
      if (options.quick && !QUICK.includes(fault.name)) continue;
      for (const command of applicable(fault, tried)) {
        if (wanted(fault.name, command.name)) note(await run(command, fault));
      }
    }
    if (wanted('a signal', 'all')) await interrupted(tried, options.moments, note);
    if (wanted('machine killed', 'all')) await killedMachines(tried, Math.ceil(options.moments / 2), note);
    if (redis.pid !== undefined && wanted('redis restarted', 'ci'))
      await restartedRedis(url, folder, PORT, redis, note);
    const left = leftFiles(folder);
    const wrong = cells.filter(({ problems }) => problems.length > 0).length;
    if (left.length > 0) process.stdout.write(`left in ${folder}: ${left.join(', ')}\n`);
    process.stdout.write(`${cells.length - wrong} as they should be, ${wrong} not\n`);
    return wrong === 0 ? 0 : 1;
  } finally {
    redis.kill('SIGKILL');
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const applicable = (fault: Fault, tried: readonly Tried[]): Tried[] =>
  tried.filter(({ name }) => fault.commands?.includes(name) ?? true);

process.exit(await main());
