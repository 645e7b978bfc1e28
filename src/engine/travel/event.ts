import type { DebugStop } from '../target.js';

/** What ends a run of the travelling session. */
export type TravelEvent =
  | {
      readonly kind: 'stop';
      readonly stop: DebugStop;
      /** A write by the kernel at a frame; `sudden`: no tracee code ran between the frame before and this one. */
      readonly atFrame?: { readonly frameTime: number; readonly sudden: boolean };
    }
  /** At the place that was to be reached. */
  | { readonly kind: 'arrived' }
  /** The requested frame was replayed. */
  | { readonly kind: 'frame' }
  /** The trace ends here. */
  | { readonly kind: 'end' }
  | { readonly kind: 'interrupted' }
  /** With `Navigator.slice`: one slice of work was done. */
  | { readonly kind: 'slice' };

export type StopEvent = Extract<TravelEvent, { kind: 'stop' }>;

/** What reverse-continue stops at. */
export const countsBackwards = ({ stop }: StopEvent): boolean =>
  stop.kind !== 'exited' && stop.kind !== 'step';
