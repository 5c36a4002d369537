// Runs before `npm start` (argument: production) and `npm test` (argument: everything), on whatever Node the machine has:
// keep it plain and old. Installs what package-lock.json asks for and node_modules does not have yet.
'use strict';
const { existsSync, readFileSync } = require('node:fs');
const { spawnSync } = require('node:child_process');
const { join } = require('node:path');

const root = join(__dirname, '..');
const wanted = process.argv[2] === 'everything' ? 'everything' : 'production';
const oldestNode = [22, 18];

function packagesOf(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

function isForThisMachine(entry) {
  const allows = (list, value) => !list || [].concat(list).includes(value);
  const libc = process.report?.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
  return allows(entry.os, process.platform) && allows(entry.cpu, process.arch) && allows(entry.libc, libc);
}

function isComplete() {
  const locked = packagesOf(join(root, 'package-lock.json'));
  const installed = packagesOf(join(root, 'node_modules', '.package-lock.json'));
  return Object.keys(locked).every((path) => {
    const entry = locked[path];
    if (path === '' || entry.link || !isForThisMachine(entry)) return true;
    if ((entry.dev || entry.devOptional) && wanted === 'production') return true;
    return installed[path] ? installed[path].version === entry.version : entry.optional || entry.devOptional;
  });
}

function install() {
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  if (wanted === 'production') args.push('--omit=dev');
  console.log(
    `Installing ${wanted === 'production' ? 'what Lifeboat needs to run' : 'everything, tests included'} (npm ${args.join(' ')}) …`,
  );
  const result = spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (result.status === 0) return;
  console.error('The installation failed; npm says why above. Check the network, then run the same command again.');
  process.exit(1);
}

function hasUsableNode() {
  if (existsSync(join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node'))) return true;
  const parts = process.versions.node.split('.').map(Number);
  return parts[0] > oldestNode[0] || (parts[0] === oldestNode[0] && parts[1] >= oldestNode[1]);
}

if (!isComplete()) install();
if (!hasUsableNode()) {
  console.error(
    `Lifeboat needs Node ${oldestNode.join('.')} or later; this is ${process.version}, and npm has no Node for ${process.platform}-${process.arch}. ` +
      'Install Node 24 from https://nodejs.org, then run the same command again.',
  );
  process.exit(1);
}
