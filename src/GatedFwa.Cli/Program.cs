using GatedFwa.Cli;
using GatedFwa.Cli.Commands;

return CommandLine.Run(args, RootCommandTree.Create());
