#!/usr/bin/env node
// Imported after the check of the version, because an old Node cannot read what they hold and would say so in riddles.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`dr needs Node 22.18 or newer (24 is best); this is ${process.versions.node}.\n`);
  process.exit(2);
}
const { runProgram } = await import('../bot/program.ts');
const { fileURLToPath } = await import('node:url');
process.exitCode = await runProgram({
  programArguments: process.argv.slice(2),
  environment: process.env,
  workingDirectory: process.cwd(),
  repositoryFolder: fileURLToPath(new URL('..', import.meta.url)),
  output: process.stdout,
  errorOutput: process.stderr,
  nowMs: Date.now,
  onInterrupt: (stop) => process.once('SIGINT', stop),
});
