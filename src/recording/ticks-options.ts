/** Ways to find events that happened between two instructions, for who wants a certain one. */
export {
  TICK_STRATEGIES as TICKS_OPTIONS,
  type TickStrategyName as TicksOption,
} from '../engine/replay/ticks/strategy.js';
