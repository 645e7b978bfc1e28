import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXITS } from '../../engine/base/errors.js';
import { commandLineFacts } from '../main.js';
import { completionScript, type Shell } from './completion.js';
import { flatten } from './describe.js';
import { ENVIRONMENT } from './environment.js';
import { manPage } from './man-page.js';

const facts = commandLineFacts();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-manual-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

function script(shell: Shell): string {
  const file = path.join(folder, shell);
  fs.writeFileSync(file, completionScript(shell, facts.program));
  return file;
}

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

/** A shell's candidates for the last word. */
const offers: [words: string, expected: string[]][] = [
  ['revenant re', ['replay']],
  ['revenant replay --mach', ['--machine']],
  ['revenant replay --machine e', ['emulated']],
  ['revenant machine st', ['start', 'status', 'stop']],
  ['revenant machine stop --fo', ['--force']],
  ['revenant completion ', ['bash', 'fish', 'zsh']],
];

describe('completion', () => {
  it.each(offers)('bash: %s', (words, expected) => {
    const code = `source ${script('bash')}
COMP_WORDS=(${words.replace(/ $/, " ''")}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _revenant; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', code], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual(expected);
  });

  it('bash: takes --machine=host for the three words that bash makes of it', () => {
    const code = `source ${script('bash')}
COMP_WORDS=(revenant replay --machine = h); COMP_CWORD=4; _revenant; echo "\${COMPREPLY[@]}"`;
    expect(spawnSync('bash', ['-c', code], { encoding: 'utf8' }).stdout).toBe('host\n');
  });

  it.skipIf(!has('fish')).each(offers)('fish (where it is installed): %s', (words, expected) => {
    const code = `source ${script('fish')}; complete -C '${words}'`;
    const { stdout } = spawnSync('fish', ['-c', code], {
      encoding: 'utf8',
      env: { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder },
    });
    const names = stdout.split('\n').filter(Boolean);
    expect(names.map((line) => line.split('\t')[0]).sort()).toEqual(expected);
  });

  it.skipIf(!has('zsh'))(
    'zsh (where it is installed): has a function for each command that zsh takes',
    () => {
      const check = `autoload -U compinit; compinit -u -D; source ${script('zsh')}; print $_comps[revenant]; print -l \${(k)functions[(I)_revenant*]}`;
      const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', check], { encoding: 'utf8' });
      expect(stderr).toBe('');
      const [chosen, ...functions] = stdout.trim().split('\n');
      expect(chosen).toBe('_revenant');
      expect(functions.sort()).toEqual(
        flatten(facts.program)
          .map(({ path: words }) => `_${words.join('_')}`)
          .sort(),
      );
    },
  );
});

describe('the manual page', () => {
  const page = manPage({ ...facts, exits: Object.values(EXITS), environment: ENVIRONMENT });

  it('has every command and option', () => {
    for (const command of flatten(facts.program).filter(({ commands }) => commands.length === 0)) {
      expect(page).toContain(`.SS ${command.path.slice(1).join(' ')}\n`);
      for (const { long } of command.options)
        if (long !== '--help') expect(page).toContain(`\\fB${long.replaceAll('-', '\\-')}\\fR`);
    }
  });

  it('has no line that roff would take for a request', () => {
    const requests = /^\.(TH|SH|SS|TP|PP)( |$)/;
    for (const line of page.split('\n')) if (/^[.']/.test(line)) expect(line).toMatch(requests);
  });

  it.skipIf(!has('groff'))('is taken by groff (where it is installed) without a warning', () => {
    const { stdout, stderr } = spawnSync('groff', ['-man', '-ww', '-Tascii', '-P-c'], {
      input: page,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(stdout).toContain('EXIT STATUS');
  });
});
