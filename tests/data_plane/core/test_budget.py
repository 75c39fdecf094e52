from data_plane.core.budget import Held, Slice, Want


def test_a_new_slice_holds_nothing_of_its_window():
    made = Slice("b", "id-b", 3)
    assert (made.left, made.spent, made.held) == (0, 0, 0)
    assert Held(made, Want("b", "cost", 5, "api_key", of_caller=True)).slice.window == 3
