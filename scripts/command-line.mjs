/**
 * Loads the command line, a bundle, with the code that V8 made of it in an earlier run: compiling takes longer than many a replay.
 * Plain node, as lib.mjs.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { cacheFolder, isCheckout, ownFolder, root } from './lib.mjs';

export const BUNDLE = 'dist/bundle/main.cjs';
const file = path.join(root, BUNDLE);

const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '\n})';
/** The end of a bundle (`sealed`). */
const SEAL = /\n\/\/ bundle ([0-9a-f]+)\n$/;

/** The bundle's text with its digest: V8 recognizes code as another text's by the length only. */
export const sealed = (text, digest) => `${text}\n// bundle ${digest}\n`;

/** V8 whose options `hurried` knows. */
const isKnownV8 = process.versions.v8.startsWith('11.3.');
/**
 * A replay is often over before code that V8 optimized has repaid its compilation: a function is optimized after six times as
 * much as by default. The second is the default, without which V8 would refuse the code that it made.
 */
const BUDGET = ['--interrupt-budget=400000', '--interrupt-budget=67584'];

/** Modules of Node that most commands load: V8 refuses Node's own code, too, once its options are others. */
const OFTEN = ['node:crypto', 'node:zlib'];

/** Below one of these is the code of the bundle that has this name. */
const folders = () => [path.join(root, 'build'), isCheckout ? null : cacheFolder()].filter(Boolean);

/**
 * The code that another run kept, or undefined. It is as good as a program: whoever may write it must be one who may write the
 * bundle, or this user.
 */
function kept(name) {
  for (const folder of folders()) {
    let fd;
    try {
      fd = fs.openSync(path.join(folder, 'code', name), 'r');
      const { uid, mode } = fs.fstatSync(fd);
      const isOurs = [0, process.geteuid(), fs.statSync(file).uid].includes(uid);
      if (isOurs && (mode & 0o022) === 0) return fs.readFileSync(fd);
    } catch {
      // None there, or none for us.
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  }
  return undefined;
}

/** Replaces what was kept of other bundles. */
function keep(name, code) {
  const folder = path.join(ownFolder(), 'code');
  fs.mkdirSync(folder, { recursive: true });
  const bundle = name.slice(0, name.indexOf('-') + 1);
  for (const each of fs.readdirSync(folder))
    if (!each.startsWith(bundle)) fs.rmSync(path.join(folder, each), { force: true });
  const written = path.join(folder, `new.${process.pid}`);
  fs.writeFileSync(written, code, { mode: 0o644 });
  fs.renameSync(written, path.join(folder, name));
}

/**
 * Loads it. Throws what Node throws if it cannot.
 * @returns its exports; whether code of an earlier run was used; and `keepCode`, to be called at the end of a run whose
 *   functions the next runs will need: keeps their code, if none was used
 */
export function loadCommandLine() {
  const require = createRequire(file);
  // esbuild writes ASCII.
  const source = fs.readFileSync(file, 'latin1');
  const digest = SEAL.exec(source.slice(-100))?.[1];
  const name = `${digest}-${v8.cachedDataVersionTag().toString(16)}`;
  const script = new vm.Script(`${HEAD}${source}${TAIL}`, {
    filename: file,
    columnOffset: -HEAD.length,
    cachedData: digest && kept(name),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, path.dirname(file));
  const usesKeptCode = script.cachedDataRejected === false;
  for (const each of OFTEN) require(each);
  if (isKnownV8) v8.setFlagsFromString(BUDGET[0]);
  // Code that is no longer used must be there at the end.
  if (!usesKeptCode) v8.setFlagsFromString('--no-flush-bytecode');
  const keepCode = () => {
    if (usesKeptCode || !digest) return;
    v8.setFlagsFromString('--flush-bytecode');
    if (isKnownV8) v8.setFlagsFromString(BUDGET[1]);
    try {
      keep(name, script.createCachedData());
    } catch {
      // A quicker start is worth no failure.
    }
  };
  return { exports: module.exports, usesKeptCode, keepCode };
}
