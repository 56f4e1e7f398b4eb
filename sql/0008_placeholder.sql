-- SPDX-License-Identifier: BSD-2-Clause
--
-- Nothing: the number belongs to another branch, and migrations have no holes.
-- The merge of that branch replaces this file.

SELECT 1;
