// npm run avx512-suite [-- --only PATTERN] [--jobs N] [--list]
// Compiles gcc's own self-checking programs for AVX-512, AMX, XOP, FMA4 and TBM (gcc/testsuite/gcc.target/i386 of Debian's
// gcc-12-source, fetched by apt) and runs each with the instructions executed by native/completion
// (test/native/completion/preload.cc). Prints the programs that did not pass, and how many did; exits with 0 only if the
// ones that did not are those of test/native/completion/gcc-suite.txt.
//   --only    programs whose name contains this, of the whole folder: not only those
//   --jobs    at a time (default: one a processor)
//   --list    the names of those that passed, too
import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { root, say, script, StepFailed } from './lib.mjs';

const PACKAGE = 'gcc-12-source';
const FOLDER = path.join(root, 'build/gcc-suite');
const PRELOAD = path.join(root, 'build/native/Release/completion-preload.so');
const EXPECTED = path.join(root, 'test/native/completion/gcc-suite.txt');
const LIMIT_SECONDS = 300;
/** Exit status of a program with an instruction that the software does not execute. */
const NOT_EXECUTED = 90;
/** Of programs for a Xeon Phi, and those that the compiler makes no such instruction of. */
const UNUSED = 'without such instructions';

const run = promisify(execFile);

function demand(command, args, cwd) {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (done.status === 0) return done.stdout;
  throw new StepFailed(
    `${command} ${args.join(' ')} failed: ${done.stderr || done.error?.message || done.status}`,
  );
}

/** The folder of the programs, fetched once. */
function fetchPrograms() {
  const programs = path.join(FOLDER, 'gcc.target/i386');
  if (fs.existsSync(programs)) return programs;
  const fetching = path.join(FOLDER, 'fetching');
  fs.rmSync(fetching, { recursive: true, force: true });
  fs.mkdirSync(fetching, { recursive: true });
  say(`fetching ${PACKAGE}`);
  demand('apt-get', ['download', PACKAGE], fetching);
  const [archive] = fs.readdirSync(fetching).filter((name) => name.endsWith('.deb'));
  demand('dpkg-deb', ['--extract', archive, '.'], fetching);
  const sources = path.join(fetching, 'usr/src/gcc-12');
  const [tar] = fs.readdirSync(sources).filter((name) => /^gcc-12.*\.tar\.xz$/.test(name));
  // Some programs include others.
  const wanted = ['gcc.target/i386', 'gcc.dg', 'gcc.c-torture/execute'];
  const patterns = wanted.map((folder) => `*/gcc/testsuite/${folder}/*`);
  demand(
    'tar',
    ['xf', path.join(sources, tar), '--wildcards', ...patterns, '--strip-components=3'],
    fetching,
  );
  for (const folder of ['gcc.dg', 'gcc.c-torture', 'gcc.target'])
    fs.renameSync(path.join(fetching, folder), path.join(FOLDER, folder));
  fs.rmSync(fetching, { recursive: true });
  return programs;
}

/** A program of the suite that is to be run on x86-64: its name and the compiler's options. */
function programOf(folder, file) {
  const source = fs.readFileSync(path.join(folder, file), 'latin1');
  const [, where] = /dg-do run\s*(\{\s*target.*)?\}/.exec(source) ?? [null, null];
  if (where === null && !/dg-do run/.test(source)) return null;
  if (where && /\bia32\b/.test(where) && !/!\s*ia32/.test(where)) return null;
  const options = [...source.matchAll(/dg-options\s+"([^"]*)"/g)].at(0)?.[1] ?? '';
  return { name: path.basename(file, '.c'), options: options.split(/\s+/).filter(Boolean) };
}

/** Programs by their names: nearly all that this processor lacks; some of others are compiled with such options. */
const LACKED = /^(avx512|amx|xop|fma4|tbm)/;

const isLacked = (folder) => (file) =>
  LACKED.test(file) ||
  /-mavx512|-mamx|-mxop|-mfma4|-mtbm/.test(fs.readFileSync(path.join(folder, file), 'latin1'));

const headers = new Map();

/** Most of the compiler's time goes into <immintrin.h>: the folder of that precompiled with these options. */
function headerFor(options) {
  const key = options.filter((option) => !/^-[DIUW]/.test(option)).join(' ');
  if (!headers.has(key)) headers.set(key, precompile(key));
  return headers.get(key);
}

async function precompile(key) {
  const folder = path.join(FOLDER, 'headers', key.replaceAll(/[^\w.=-]+/g, '_') || 'none');
  const header = path.join(folder, 'all.h');
  if (fs.existsSync(`${header}.gch`)) return header;
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(header, '#include <stdlib.h>\n#include <string.h>\n#include <immintrin.h>\n');
  try {
    await run('gcc-12', ['-w', ...key.split(' ').filter(Boolean), header, '-o', `${header}.new`]);
    fs.renameSync(`${header}.new`, `${header}.gch`);
    return header;
  } catch {
    return null;
  }
}

/** What came of a program: 'passed', or why not. */
async function outcomeOf(folder, { name, options }) {
  const binary = path.join(FOLDER, 'bin', name);
  if (!fs.existsSync(binary)) {
    try {
      const header = await headerFor(options);
      const included = header === null ? [] : ['-include', header];
      const args = ['-w', ...included, ...options, `${name}.c`, '-o', `${binary}.new`, '-lm', '-Wl,-z,now'];
      await run('gcc-12', args, { cwd: folder });
    } catch (error) {
      return {
        result: 'not compiled',
        said: error.stderr.split('\n').find((line) => /error/.test(line)) ?? '',
      };
    }
    fs.renameSync(`${binary}.new`, binary);
  }
  const count = `${binary}.count`;
  fs.rmSync(count, { force: true });
  const env = { ...process.env, LD_PRELOAD: path.join(FOLDER, 'preload.so'), COMPLETION_COUNT: count };
  try {
    await run(binary, [], { cwd: FOLDER, env, timeout: LIMIT_SECONDS * 1000 });
  } catch (error) {
    const said = error.stderr.trim().split('\n').at(-1);
    if (error.code === NOT_EXECUTED) return { result: 'not executed', said };
    if (error.killed) return { result: 'not done in time', said };
    return {
      result: error.signal === 'SIGABRT' ? 'wrong result' : 'failed',
      said: said || `${error.signal ?? error.code}`,
    };
  }
  const [instructions, hasMissing] = fs.readFileSync(count, 'utf8').split(' ').map(Number);
  // A program that finds its instructions missing in CPUID succeeds, too.
  if (hasMissing === 0 && LACKED.test(name)) return { result: UNUSED };
  return { result: 'passed', instructions };
}

/** Lines "NAME  why" of the programs that are known not to pass. */
function expectedFailures() {
  const lines = fs.existsSync(EXPECTED) ? fs.readFileSync(EXPECTED, 'utf8').split('\n') : [];
  return new Map(lines.filter((line) => /^\w/.test(line)).map((line) => [line.split(/\s+/)[0], line]));
}

await script(async () => {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, jobs: { type: 'string' }, list: { type: 'boolean' } },
  });
  if (!fs.existsSync(PRELOAD)) throw new StepFailed(`${PRELOAD} is missing: run npm run build`);
  const folder = fetchPrograms();
  fs.mkdirSync(path.join(FOLDER, 'bin'), { recursive: true });
  // A copy: a build may replace it meanwhile.
  fs.copyFileSync(PRELOAD, path.join(FOLDER, 'preload.so'));
  const wanted = values.only === undefined ? isLacked(folder) : (file) => file.includes(values.only);
  const programs = fs
    .readdirSync(folder)
    .filter((file) => file.endsWith('.c') && wanted(file))
    .map((file) => programOf(folder, file))
    .filter((program) => program !== null);
  const known = expectedFailures();
  const totals = {};
  let instructions = 0;
  let unexpected = 0;
  const queue = [...programs];
  const work = async () => {
    for (let program = queue.shift(); program; program = queue.shift()) {
      const outcome = await outcomeOf(folder, program);
      totals[outcome.result] = (totals[outcome.result] ?? 0) + 1;
      instructions += outcome.instructions ?? 0;
      const passed = outcome.result === 'passed';
      if (outcome.result !== UNUSED && passed === known.has(program.name)) unexpected++;
      if (!passed || values.list) say(`${program.name}: ${outcome.result}  ${outcome.said ?? ''}`);
      else if (known.has(program.name)) say(`${program.name}: passed, although listed`);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs ?? os.cpus().length) }, work));
  const summary = Object.entries(totals).map(([result, count]) => `${count} ${result}`);
  say(
    `${programs.length} programs: ${summary.join(', ')}; ${instructions} instructions executed in software`,
  );
  return unexpected > 0 ? 1 : 0;
});
