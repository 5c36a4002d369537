// Reads what vitest wrote and says the true count; a test that was skipped here, where every part is installed, is a failure.
import { readFileSync } from 'node:fs';

const results = JSON.parse(readFileSync(new URL('../tests/results.json', import.meta.url), 'utf8'));
const testsFailed = process.argv[2] !== '0';
const skipped = results.testResults
  .flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })))
  .filter((test) => test.status !== 'passed' && test.status !== 'failed');

for (const test of skipped) console.log(`skipped: ${test.file}: ${test.fullName}`);
if (skipped.length > 0)
  console.log('Every part is installed here, so a skipped test means that something was not found.');
console.log(`${results.numPassedTests} passed, ${results.numFailedTests} failed, ${skipped.length} skipped`);
const isGood =
  results.success && !testsFailed && results.numPassedTests > 0 && results.numFailedTests === 0 && skipped.length === 0;
process.exit(isGood ? 0 : 1);
