/** The process of one emulated disk. */
import { serveDisk } from './service.js';

await serveDisk(process.argv[2]!);
