import { openJobPool } from '../../../engine/store/job-connections.ts';

/** A program that locks a table in a transaction and never ends it: `job-holder.ts <connection string>`. Its parent hears when it has it. */
const [connectionString = ''] = process.argv.slice(2);
const limits = { silenceMs: 1000, statementMs: 2000 };
const order = { connectionString, connectionCountMax: 1, name: 'holder', onTrouble: () => undefined, limits };
const client = await openJobPool(order).connect();
// Cut off, as it should be.
client.on('error', () => undefined);
await client.query('begin');
await client.query('lock table held in access exclusive mode');
process.send?.('held');
await new Promise((resolve) => process.once('disconnect', resolve));
process.exit();
