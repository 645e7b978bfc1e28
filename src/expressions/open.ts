import { silentLogger } from '../engine/base/log.js';
import { openRecording, type OpenContext, type OpenedRecording } from '../recording/open.js';
import { Expressions } from './expressions.js';

export interface EvaluatingContext extends OpenContext {
  /** The gdb that evaluates expressions with types. Default: `gdb`. */
  readonly gdb?: string;
}

export interface EvaluatingRecording extends OpenedRecording {
  readonly expressions: Expressions;
}

/** As `openRecording`, with an expression evaluator, which `close` ends, too. */
export async function openEvaluating(context: EvaluatingContext): Promise<EvaluatingRecording> {
  const opened = await openRecording(context);
  const { target: replay, trace } = opened;
  const { gdb = 'gdb', log = silentLogger, note = () => {} } = context;
  const expressions = new Expressions({ replay, trace, gdb, log, note });
  const close = (): void => {
    try {
      expressions.close();
    } finally {
      opened.close();
    }
  };
  return { ...opened, expressions, close };
}
