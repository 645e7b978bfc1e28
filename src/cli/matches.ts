/** Matches a path against a pattern in which `*` is any run of characters; no `*`: contained in it. */
export function matches(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return text.includes(pattern);
  const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*+/g, '.*');
  return new RegExp(`^${source}$`).test(text);
}
