/** Stops the program's current operation because our own code is wrong; never used for bad input or outages. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${message}`);
}

/** The end of an exhaustive switch: adding a member to the union makes this call fail to compile. */
export function assertNever(value: never): never {
  throw new Error(`broken invariant: unexpected ${JSON.stringify(value)}`);
}
