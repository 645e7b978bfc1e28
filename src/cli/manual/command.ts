import { Argument, type Command } from 'commander';
import type { CommandIo } from '../output.js';
import { completionScript, type Shell, SHELLS } from './completion.js';
import { describe } from './describe.js';

/** `revenant completion SHELL`. */
export function addManual(program: Command, io: CommandIo): void {
  program
    .command('completion')
    .description('print the completion script of a shell; its first line says where to install it')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell) => io.out(completionScript(shell, describe(program))));
}
