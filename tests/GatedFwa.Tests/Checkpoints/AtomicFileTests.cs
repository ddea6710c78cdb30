using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_is_made_and_then_replaced()
    {
        AtomicFile.WriteText(_folder["a"], "a long first content");
        AtomicFile.WriteText(_folder["a"], "new ü");
        Assert.Equal("new ü"u8.ToArray(), File.ReadAllBytes(_folder["a"]));
        Assert.Equal(["a"], _folder.Names);
    }

    [Fact]
    public void A_failure_half_way_leaves_the_old_file_and_nothing_else()
    {
        AtomicFile.WriteText(_folder["a"], "old");
        InputException failure = Assert.Throws<InputException>(() => AtomicFile.Write(_folder["a"], stream =>
        {
            stream.Write(new byte[1 << 20]);
            throw new IOException("No space left on device", 28);
        }));
        Assert.Contains("because the disk is full; free some space", failure.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidDataException>(() => AtomicFile.Write(_folder["a"], _ => throw new InvalidDataException()));
        Assert.Equal("old", File.ReadAllText(_folder["a"]));
        Assert.Equal(["a"], _folder.Names);
    }

    [Fact]
    public void What_a_killed_writer_left_behind_is_overwritten()
    {
        File.WriteAllText(_folder["a.partial"], "a longer piece of something");
        AtomicFile.WriteText(_folder["a"], "new");
        Assert.Equal("new", File.ReadAllText(_folder["a"]));
        Assert.Equal(["a"], _folder.Names);
    }

    [Fact]
    public void Two_writers_of_one_file_do_not_spoil_each_others_work()
    {
        AtomicFile.Write(_folder["a"], stream =>
        {
            stream.Write("first"u8);
            Assert.Contains("cannot be written", Refusal(_folder["a"]), StringComparison.Ordinal);
        });
        Assert.Equal("first", File.ReadAllText(_folder["a"]));
        Assert.Equal(["a"], _folder.Names);
    }

    [Fact]
    public void A_reader_of_the_old_file_keeps_it()
    {
        AtomicFile.WriteText(_folder["a"], "old");
        using var reader = new StreamReader(_folder["a"], Encoding.UTF8);
        AtomicFile.WriteText(_folder["a"], "new");
        Assert.Equal("old", reader.ReadToEnd());
    }

    [Fact]
    public void A_full_disk_is_told_as_one()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "This system has no /dev/full.");
        string message = Assert.Throws<InputException>(() => AtomicFile.WriteText("/dev/full", "text")).Message;
        Assert.Contains("because the disk is full", message, StringComparison.Ordinal);
        Assert.True(File.Exists("/dev/full"));
        Assert.False(File.Exists("/dev/full.partial"));
    }

    [Fact]
    public void A_file_that_there_is_no_room_for_is_refused_before_it_is_written()
    {
        AtomicFile.WriteText(_folder["a"], "old");
        AtomicFile.RequireRoom(_folder["a"], 1 << 20);
        Assert.Equal(["a"], _folder.Names);
        long all = new DriveInfo(_folder["."]).TotalSize;
        string message = Assert.Throws<InputException>(() => AtomicFile.RequireRoom(_folder["a"], all)).Message;
        Assert.Contains("because the disk is full", message, StringComparison.Ordinal);
        Assert.Equal(["a"], _folder.Names);
        Assert.Equal("old", File.ReadAllText(_folder["a"]));
    }

    [Fact]
    public void A_device_is_written_in_place_and_never_replaced()
    {
        Assert.SkipUnless(File.Exists("/dev/null"), "This system has no /dev/null.");
        AtomicFile.WriteText("/dev/null", "text");
        Assert.Empty(File.ReadAllText("/dev/null"));
    }

    [Fact]
    public void A_file_in_memory_is_replaced_whole_although_it_lies_below_dev()
    {
        Assert.SkipUnless(Directory.Exists("/dev/shm"), "This system has no /dev/shm.");
        string path = $"/dev/shm/gatedfwa-{Guid.NewGuid()}";
        try
        {
            AtomicFile.WriteText(path, "a long first content");
            using (var reader = new StreamReader(path, Encoding.UTF8))
            {
                AtomicFile.WriteText(path, "short");
                Assert.Equal("a long first content", reader.ReadToEnd());
            }

            Assert.Equal("short", File.ReadAllText(path));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_file_without_a_name_is_refused() => Assert.Contains("has no name", Refusal(""), StringComparison.Ordinal);

    [Fact]
    public void A_missing_folder_a_file_as_folder_and_a_folder_as_file_are_refused()
    {
        AtomicFile.WriteText(_folder["file"], "x");
        Assert.Contains(
            "its folder does not exist; make the folder first",
            Refusal(Path.Combine(_folder["nowhere"], "a")),
            StringComparison.Ordinal);
        Assert.Contains("cannot be written", Refusal(Path.Combine(_folder["file"], "a")), StringComparison.Ordinal);
        Assert.Contains("is a folder; name a file", Refusal(_folder.Root), StringComparison.Ordinal);
        string message = Assert.Throws<InputException>(() => AtomicFile.CreateDirectory(Path.Combine(_folder["file"], "a"))).Message;
        Assert.Contains("cannot be made; choose one", message, StringComparison.Ordinal);
        Assert.Equal(["file"], _folder.Names);
    }

    [Fact]
    public void A_read_only_folder_is_refused_with_the_remedy()
    {
        // What is read-only for root, too: a folder of the kernel's own.
        Assert.SkipUnless(Directory.Exists("/proc/self"), "This system has no /proc.");
        Assert.Contains("write elsewhere", Refusal("/proc/self/model.safetensors"), StringComparison.Ordinal);
    }

    private static string Refusal(string path) => Assert.Throws<InputException>(() => AtomicFile.WriteText(path, "text")).Message;
}
