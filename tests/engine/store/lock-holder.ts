import { openStore } from '../../../engine/store/open.ts';

/** A program that takes a name and never gives it back: `lock-holder.ts <connection string> <name>`. Its parent hears when it has it. */
const [connectionString = '', name = ''] = process.argv.slice(2);
const store = await openStore({ connectionString });
await store.alone(name, async () => {
  process.send?.('held');
  await new Promise((resolve) => process.once('disconnect', resolve));
});
await store.close();
