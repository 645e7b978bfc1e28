/** What the scripts share. Plain node: it must run before node_modules exists. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 11)) {
  process.stderr.write(`revenant: Node 20.11 or newer is needed; this is ${process.version}\n`);
  process.exit(4);
}

export const root = path.resolve(import.meta.dirname, '..');

/** Whether this is the project with its sources, not an installed package. */
export const isCheckout = fs.existsSync(path.join(root, 'tsconfig.json'));

/** This user's cache folder, or null: there is no HOME, and no entry in passwd. */
export function cacheFolder() {
  try {
    return path.join(os.homedir(), '.cache/revenant');
  } catch {
    return null;
  }
}

/**
 * The folder for generated files: build/ of the project; if another user owns an installed package,
 * this user's cache folder.
 */
export function ownFolder() {
  const own = path.join(root, 'build');
  try {
    fs.mkdirSync(own, { recursive: true });
    fs.accessSync(own, fs.constants.W_OK);
    return own;
  } catch (error) {
    const cache = cacheFolder();
    if (isCheckout || cache === null) throw error;
    fs.mkdirSync(cache, { recursive: true });
    return cache;
  }
}

/** A step of ours failed; the message is all there is to say. */
export class StepFailed extends Error {}

export const say = (text) => process.stderr.write(`${text}\n`);

/** Runs a command with our standard error as its output; throws StepFailed when it does not succeed. */
export function run(command, args, options = {}) {
  succeeded(command, args, spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options }));
}

/** The same for a command that talks even when all is well: its output is shown only if it fails. */
export function runQuietly(command, args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (done.status !== 0) process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
  succeeded(command, args, done);
}

function succeeded(command, args, done) {
  if (done.error) throw new StepFailed(`${command}: ${done.error.message}`);
  if (done.status !== 0) {
    throw new StepFailed(`${command} ${args.join(' ')}: ${done.signal ?? `exit status ${done.status}`}`);
  }
}

/** Whether a command is on the PATH. */
export function hasCommand(name) {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      fs.accessSync(path.join(folder, name), fs.constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Every file below the folders (relative to the project, hidden ones left out) that `accept` takes. */
export function filesBelow(folders, accept) {
  const found = [];
  const walk = (folder) => {
    for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = `${folder}/${entry.name}`;
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) walk(name);
      else if (accept(name)) found.push(name);
    }
  };
  for (const folder of folders) if (fs.existsSync(path.join(root, folder))) walk(folder);
  return found.sort();
}

/** Runs a script's main function; a failed step is one line, anything else is a defect with its stack. */
export async function script(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    say(error instanceof StepFailed ? error.message : (error?.stack ?? String(error)));
    process.exitCode = 1;
  }
}
