#!/usr/bin/env node
// Replaces rr where its debugger tests start `rr ... replay OPTIONS`: `revenant gdb --as-rr` on $RR_TEST_TRACE, with
// the options translated.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const revenant = path.resolve(import.meta.dirname, '../../bin/revenant');
const trace = process.env.RR_TEST_TRACE;

/** The options after `replay`, as names with values. */
function* optionsOf(args) {
  const names = {
    g: 'goto',
    p: 'onprocess',
    f: 'onfork',
    e: 'goto-exit',
    o: 'debugger-option',
    M: 'mark-stdio',
  };
  const flags = [
    'goto-exit',
    'mark-stdio',
    'serve-files',
    'share-private-mappings',
    'retry-transient-errors',
  ];
  for (let at = 0; at < args.length; at++) {
    const long = /^--([a-z-]+)(?:=(.*))?$/.exec(args[at]);
    const short = /^-([a-zA-Z])(.*)$/.exec(args[at]);
    const name = long ? long[1] : names[short?.[1]];
    if (!name) throw new Error(`rr.mjs does not know ${args[at]}`);
    const value = long ? long[2] : short[2] || undefined;
    if (flags.includes(name)) yield [name, ''];
    else yield [name, value ?? args[++at]];
  }
}

function translate(args) {
  const ours = [];
  const debugger_ = [];
  for (const [name, value] of optionsOf(args)) {
    if (name === 'goto') ours.push('--goto', value);
    else if (name === 'onprocess') ours.push('--on-process', value);
    else if (name === 'onfork') ours.push('--task', value);
    else if (name === 'goto-exit') ours.push('--at-end');
    else if (name === 'debugger-option') debugger_.push(value);
    // The others are about how rr replays.
  }
  return ['gdb', trace, '--as-rr', ...ours, '--', ...debugger_];
}

/** gdb among the processes below one. */
function debuggerBelow(pid) {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  for (const child of children) {
    const name = fs.readFileSync(`/proc/${child}/comm`, 'utf8').trim();
    const found = name === 'gdb' ? Number(child) : debuggerBelow(child);
    if (found) return found;
  }
  return null;
}

const replay = process.argv.indexOf('replay');
const args = translate(process.argv.slice(replay + 1));
if (process.env.RR_TEST_ECHO) process.stderr.write(`revenant ${args.join(' ')}\n`);
const child = spawn(process.execPath, [revenant, ...args], { stdio: 'inherit' });
// rr becomes gdb, so that the tests' SIGINT is gdb's.
process.on('SIGINT', () => {
  const gdb = debuggerBelow(process.pid);
  if (gdb) process.kill(gdb, 'SIGINT');
});
for (const signal of ['SIGHUP', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.once('exit', (code) => process.exit(code ?? 1));
