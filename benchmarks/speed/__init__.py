"""What the programs that measure speed share: the server, a measured process, the schedule, results, pages."""
